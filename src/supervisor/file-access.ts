import { accessSync, constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { StartError } from '../base/errors.js';
import type { Account } from '../base/os/account.js';
import { typedInvocation } from '../base/os/invocation.js';
import { whyNotRunnable } from '../config/resolve.js';
import type { Settings } from '../config/settings.js';

/** One file of Motya stands for all: they are in one directory, which root may have installed for itself alone. */
const OWN_FILE = fileURLToPath(import.meta.url);

/** What works now and will be in the way of an upgrade: `path` is closed to the user. */
export interface FileWarning {
  readonly path: string;
  readonly text: string;
}

/**
 * What root can start but the user that it has become cannot, told in a line that names the file: Node itself would only say
 * `spawn EACCES` or `Cannot find module`.
 * @throws {StartError} `ERR_MOTYA_PRIVILEGES`: a service cannot be started
 */
export function checkFileAccess({ services, source }: Settings, { name }: Account): FileWarning[] {
  const demand = (path: string, mode: number, verb: string): void => {
    if (isOpen(path, mode)) return;
    throw new StartError(
      'ERR_MOTYA_PRIVILEGES',
      `user ${name} may not ${verb} ${path}: put it where that user can reach it, with all directories above it`,
      { details: { path, user: name } },
    );
  };
  demand(process.execPath, constants.X_OK, 'run');
  demand(OWN_FILE, constants.R_OK, 'read');
  for (const { script, cwd } of services) {
    demand(cwd, constants.X_OK, 'enter');
    if (whyNotRunnable(script) !== null) demand(script, constants.R_OK, 'read');
  }
  const needed = [typedInvocation().cwd, ...(source === null ? [] : [source])];
  return needed
    .filter((path) => !isOpen(path, path === source ? constants.R_OK : constants.X_OK))
    .map((path) => {
      const text = `user ${name} may not open ${path}: only root can start the next successor (motya start --upgrade)`;
      return { path, text };
    });
}

/** For the real uid (access(2)): only after root has become the user. */
function isOpen(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}
