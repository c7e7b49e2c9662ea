import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Details } from '../errors.js';

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

/** The same for a program: how much room there is, if that is in the way. */
export function factsOfDirectory(code: unknown, path: string): Details {
  const room = code === 'ENOSPC' || code === 'EDQUOT' ? roomOf(dirname(path)) : null;
  return room === null ? {} : { free: room.free, inodes: room.inodes };
}

/** In words. */
function roomIn(directory: string): string | null {
  const room = roomOf(directory);
  if (room === null) return null;
  const inodes = room.inodes === null ? '' : ` and ${room.inodes} inodes`;
  return `${room.free} bytes${inodes} are free in ${directory}`;
}

/** `free`: bytes. */
function roomOf(directory: string): { free: number; inodes: number | null } | null {
  try {
    const { bavail, bsize, ffree, files } = statfsSync(directory);
    // A file system without a table of inodes (btrfs) says 0 of 0.
    return { free: bavail * bsize, inodes: files > 0 ? ffree : null };
  } catch {
    return null;
  }
}
