import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';

/** What is in the way of a file that is to be made at the path, in words; null: nothing that its directory has to do with. */
export function adviceOnDirectory(code: unknown, path: string): string | null {
  const directory = dirname(path);
  switch (code) {
    case 'ENOENT':
      return `there is not a directory ${directory}: make it, or name another path`;
    case 'ENOTDIR':
      return `${directory} is not a directory`;
    case 'EACCES':
      return `uid ${process.geteuid?.()} may not make files in ${directory}`;
    case 'ENOSPC':
    case 'EDQUOT':
      return roomIn(directory);
    default:
      return null;
  }
}

/** How much room there is, in words. */
function roomIn(directory: string): string | null {
  try {
    const { bavail, bsize, ffree, files } = statfsSync(directory);
    // A file system without a table of inodes (btrfs) says 0 of 0.
    const inodes = files > 0 ? ` and ${ffree} inodes` : '';
    return `${bavail * bsize} bytes${inodes} are free in ${directory}`;
  } catch {
    return null;
  }
}
