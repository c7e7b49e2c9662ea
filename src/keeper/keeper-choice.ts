import { SettingsError } from '../base/errors.js';
import type { Settings } from '../config/settings.js';

/** Variable of an instance that a keeper has started, and of its successors: the keeper's pid. */
export const KEEPER_PID_ENV = 'MOTYA_KEEPER_PID';

/** What the keeper adds to the environment of its instances. */
export const keeperEnvironment = (): NodeJS.ProcessEnv => ({ [KEEPER_PID_ENV]: String(process.pid) });

export function hasKeeper(env: NodeJS.ProcessEnv): boolean {
  return env[KEEPER_PID_ENV] !== undefined;
}

/** The keeper that is our parent, or null: there is none, or it has been killed. */
export function keeperOf(env: NodeJS.ProcessEnv): number | null {
  return env[KEEPER_PID_ENV] === String(process.ppid) ? process.ppid : null;
}

/**
 * Whether this process becomes a keeper. `auto`: where an upgrade would otherwise end the service, because its manager does not
 * follow the main process to its successor: as PID 1 of a container, and in a systemd unit without notifications.
 */
export function wantsKeeper({ keeper, upgrade }: Settings, env: NodeJS.ProcessEnv): boolean {
  if (hasKeeper(env) || upgrade) return false;
  if (keeper !== 'auto') return keeper;
  // systemd.exec(5): the pid of the process that a unit has started, since systemd 248.
  const isMainOfUnit = env.SYSTEMD_EXEC_PID === String(process.pid);
  return process.pid === 1 || (isMainOfUnit && env.NOTIFY_SOCKET === undefined);
}

/** For `--keeper`: a successor that is started by hand cannot have a keeper of its own. @throws {SettingsError} */
export function refuseKeeperOfSuccessor({ upgrade }: Settings, env: NodeJS.ProcessEnv): void {
  if (!upgrade || hasKeeper(env)) return;
  const text = 'the keeper that runs starts its successors itself: send it SIGQUIT, or use motya upgrade';
  throw new SettingsError(`--keeper: cannot be used with --upgrade: ${text}`);
}
