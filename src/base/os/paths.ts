import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { type MotyaErrorOptions, reasonOf, StartError } from '../errors.js';

/** Bytes of a unix socket path: sun_path has 108 with its closing NUL (unix(7)). */
const UNIX_PATH_BYTES = 107;

/**
 * Makes the directory (0700) when it is not there. A user who can write to it can replace our socket by another one,
 * so one that is not ours alone is refused.
 * @throws {StartError} `ERR_MOTYA_RUNTIME_DIRECTORY`
 */
export function ensureRuntimeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) {
      throw refused(`the runtime directory cannot be made: ${reasonOf(error)}`, { cause: error, details: { path } });
    }
  }
  // Never stat: in a directory like /tmp any user may have put a symlink here.
  const stat = lstatSync(path);
  if (stat.isSymbolicLink())
    throw refused(`the runtime directory ${path} is a symlink; it must be a directory of its own`, {
      details: { path, reason: 'ELOOP' },
    });
  if (!stat.isDirectory())
    throw refused(`the runtime directory ${path} is not a directory`, { details: { path, reason: 'ENOTDIR' } });
  if (stat.uid !== process.geteuid?.() && stat.uid !== 0) {
    throw refused(
      `the runtime directory ${path} belongs to uid ${stat.uid}, not to uid ${process.geteuid?.()} or root`,
      { details: { path, uid: stat.uid } },
    );
  }
  if ((stat.mode & 0o022) !== 0) {
    const mode = (stat.mode & 0o777).toString(8).padStart(3, '0');
    const text = `the runtime directory ${path} has mode ${mode}: others may write to it; try chmod 700`;
    throw refused(text, { details: { path, mode } });
  }
}

const refused = (message: string, options?: MotyaErrorOptions): StartError =>
  new StartError('ERR_MOTYA_RUNTIME_DIRECTORY', message, options);

/** A file's base name without its ending, fit to be a name in settings and in file names: at most 40 characters. */
export function stemOf(path: string): string {
  const stem = basename(path, extname(path))
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[-.]+/, '')
    .slice(0, 40);
  return stem === '' ? 'app' : stem;
}

/**
 * Name of the instance when the settings give none. The hash tells apart two `server.js` in different directories; the path is
 * hashed as it was typed, so that a symlink that is swapped to a new release still means the same instance.
 * @param typed absolute path, symlinks unresolved, of the settings file or script
 */
export function defaultName(typed: string): string {
  return `${stemOf(typed)}-${createHash('sha256').update(typed).digest('hex').slice(0, 8)}`;
}

/** Path of the control socket that goes with an upgrade socket. */
export function controlSocketOf(upgradeSocket: string): string {
  return besideOf(upgradeSocket, 'control');
}

/** Beside the control socket: the keeper's, while no instance answers there. */
export function keeperSocketOf(controlSocket: string): string {
  return controlSocket.replace(/control\.sock$/, 'keeper.sock');
}

/** In the name of a generation's own control socket, before its pid. No name of an instance has it. */
export const DRAIN_MARK = '~';

/** Where the process answers while it drains. Never longer than the control socket's path: a pid has at most seven digits. */
export function drainSocketOf(controlSocket: string, pid: number): string {
  return controlSocket.replace(/\.control\.sock$/, `${DRAIN_MARK}${pid}.sock`);
}

/** Default path of the admin socket that goes with an upgrade socket. */
export function adminSocketOf(upgradeSocket: string): string {
  return besideOf(upgradeSocket, 'admin');
}

function besideOf(upgradeSocket: string, what: string): string {
  return join(dirname(upgradeSocket), `${basename(upgradeSocket, '.sock')}.${what}.sock`);
}

/** Why bind(2) could not take the path (or abstract name) of a unix socket, or null. */
export function socketPathProblem(path: string): string | null {
  const bytes = Buffer.byteLength(path);
  if (bytes <= UNIX_PATH_BYTES) return null;
  return `${path} has ${bytes} bytes; the path of a unix socket has at most ${UNIX_PATH_BYTES}`;
}
