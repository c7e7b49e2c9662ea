import { statfsSync } from 'node:fs';
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
    case 'ENOSPC':
    case 'EDQUOT':
      return roomIn(folder);
    default:
      return null;
  }
}

/** How much room there is, in words. */
function roomIn(folder: string): string | null {
  try {
    const { bavail, bsize, ffree, files } = statfsSync(folder);
    // A file system without a table of inodes (btrfs) says 0 of 0.
    const inodes = files > 0 ? ` and ${ffree} inodes` : '';
    return `${bavail * bsize} bytes${inodes} are free in ${folder}`;
  } catch {
    return null;
  }
}
