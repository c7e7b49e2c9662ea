import { lstatSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Account, DeclaredListener } from '../config/settings.js';
import type { ListenRequest } from './request.js';

/** What is in the way of a declared path, or of a port that only root may bind (bind's EACCES, ip(7)), in words; else null. */
export function adviceOn(code: string, wanted: DeclaredListener | ListenRequest, user: Account | null): string | null {
  if ('family' in wanted && wanted.family === 'unix' && !wanted.path.startsWith('\0'))
    return adviceOnPath(code, wanted.path);
  if (code !== 'EACCES' || !('port' in wanted) || process.geteuid?.() === 0) return null;
  const isDeclared = !('kind' in wanted);
  if (user !== null && user.uid !== 0) {
    return isDeclared
      ? `only root may bind it: let root start the instance, or its successor (motya start --upgrade), which binds it and becomes ${user.name}`
      : `only root may bind it: name it under listeners in the settings, and root binds it before it becomes ${user.name}`;
  }
  const how = 'let root start it with --user, or give it CAP_NET_BIND_SERVICE';
  return `only root may bind it: ${isDeclared ? how : `${how}; with --user, name the port under listeners in the settings`}`;
}

function adviceOnPath(code: string, path: string): string | null {
  const folder = dirname(path);
  switch (code) {
    case 'ENOENT':
      return `there is no folder ${folder}: make it, or name another path`;
    case 'ENOTDIR':
      return `${folder} is no folder`;
    case 'EACCES':
      return `uid ${process.geteuid?.()} may not make files in ${folder}`;
    case 'EADDRINUSE':
      return lstatSync(path, { throwIfNoEntry: false })?.isSocket() === false
        ? 'it exists and is no socket; it is left alone: name another path'
        : null;
    default:
      return null;
  }
}
