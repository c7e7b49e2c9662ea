import { SettingsError } from '../base/errors.js';
import type { Settings } from '../config/settings.js';

/** In an instance that a keeper has started, and in its successors: the keeper's pid. */
const KEEPER_ENV = 'MOTYA_KEEPER';

/** What the keeper adds to the environment of its instances. */
export const keptEnvironment = (): NodeJS.ProcessEnv => ({ [KEEPER_ENV]: String(process.pid) });

export function isKept(env: NodeJS.ProcessEnv): boolean {
  return env[KEEPER_ENV] !== undefined;
}

/** The keeper that is our parent, or null: there is none, or it has been killed. */
export function keeperOf(env: NodeJS.ProcessEnv): number | null {
  return env[KEEPER_ENV] === String(process.ppid) ? process.ppid : null;
}

/**
 * Whether this process is to be a keeper. `auto`: where an upgrade would end what runs us, because nobody there follows from one
 * main process to the next — a container, whose first process we are, or a systemd unit that hears no notifications.
 */
export function wantsKeeper({ supervise, upgrade }: Settings, env: NodeJS.ProcessEnv): boolean {
  if (isKept(env) || upgrade) return false;
  if (supervise !== 'auto') return supervise;
  // systemd.exec(5): the pid of the process that a unit has started, since systemd 248.
  const isMainOfUnit = env.SYSTEMD_EXEC_PID === String(process.pid);
  return process.pid === 1 || (isMainOfUnit && env.NOTIFY_SOCKET === undefined);
}

/** For `--supervise`: a successor that was started by hand can have no keeper of its own. @throws {SettingsError} */
export function demandNoKeeper({ upgrade }: Settings, env: NodeJS.ProcessEnv): void {
  if (!upgrade || isKept(env)) return;
  const text = 'the keeper that runs starts its successors itself: send it SIGQUIT, or use motya upgrade';
  throw new SettingsError(`--supervise: cannot be used with --upgrade: ${text}`);
}
