import { closeSync, openSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isSystemError, MotyaError, reasonOf, SettingsError } from '../../base/errors.js';
import { absolutePath } from '../../config/resolve-path.js';

/**
 * Writes a whole file or none. One that is there stays, unless `force`.
 * @throws {MotyaError} `ERR_MOTYA_FILE_EXISTS`, `ERR_MOTYA_WRITE_FAILED`
 */
export function writeNew(path: string, content: string, { force }: { force: boolean }): void {
  // Written beside it and renamed, so that no process reads half of it.
  const target = force ? `${path}.${process.pid}` : path;
  try {
    const fd = openSync(target, 'wx');
    try {
      writeFileSync(fd, content);
      if (force) renameSync(target, path);
    } catch (error) {
      rmSync(target, { force: true });
      throw error;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    const code = isSystemError(error) ? error.code : '';
    if (code === 'EEXIST' && !isDirectory(path))
      throw new MotyaError('ERR_MOTYA_FILE_EXISTS', `${path} exists; --force replaces it`, { details: { path } });
    throw new MotyaError(
      'ERR_MOTYA_WRITE_FAILED',
      `${path} cannot be written: ${causeOf(code, path) ?? reasonOf(error)}`,
      { cause: error, details: { path } },
    );
  }
}

/** Where `--output` leads. @throws {SettingsError} */
export function outputPath(cwd: string, output: string): string {
  if (output !== '') return absolutePath(cwd, output);
  throw new SettingsError('--output: must not be empty');
}

const isDirectory = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

function causeOf(code: string, path: string): string | null {
  switch (code) {
    case 'ENOENT':
      return `no such directory: ${dirname(path)}`;
    case 'ENOTDIR':
      return `${dirname(path)} is not a directory`;
    case 'EACCES':
    case 'EPERM':
      return `permission denied (user ${process.geteuid?.()})`;
    case 'EISDIR':
    case 'EEXIST':
      return 'it is a directory';
    case 'ENOSPC':
      return 'no space left';
    case 'EROFS':
      return 'the file system is read-only';
    default:
      return null;
  }
}
