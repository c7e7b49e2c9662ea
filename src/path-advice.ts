import { dirname } from 'node:path';

/** What is in the way of a file that is to be made at the path, in words; null: nothing that its folder has to do with. */
export function adviceOnFolder(code: unknown, path: string): string | null {
  const folder = dirname(path);
  switch (code) {
    case 'ENOENT':
      return `there is no folder ${folder}: make it, or name another path`;
    case 'ENOTDIR':
      return `${folder} is no folder`;
    case 'EACCES':
      return `uid ${process.geteuid?.()} may not make files in ${folder}`;
    default:
      return null;
  }
}
