import { lstatSync } from 'node:fs';
import type { Account } from '../base/os/account.js';
import { adviceOnDirectory } from '../base/os/directory-advice.js';
import type { DeclaredListener } from '../config/settings.js';
import type { ListenRequest } from './listen-request.js';

/** What is in the way of a declared path, or of a port that only root may bind (bind's EACCES, ip(7)), in words; else null. */
export function bindAdvice(
  code: string,
  wanted: DeclaredListener | ListenRequest,
  user: Account | null,
): string | null {
  if ('family' in wanted && wanted.family === 'unix' && !wanted.path.startsWith('\0')) {
    if (code !== 'EADDRINUSE') return adviceOnDirectory(code, wanted.path);
    const isOther = lstatSync(wanted.path, { throwIfNoEntry: false })?.isSocket() === false;
    return isOther ? 'it exists and is not a socket; it is left alone: name another path' : null;
  }
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
