import { openSync } from 'node:fs';
import type { Settings } from '../config/settings.js';
import { requestStatus, type Watched, watchIncumbent } from '../control/client.js';
import { typedInvocation } from '../daemon/invocation.js';
import { DIED, launch } from '../daemon/launch.js';
import { SUCCESSOR_EXISTS } from '../errors.js';
import { takeActivated } from '../manager/activation.js';
import { isJournal, openLog } from '../output/log-file.js';
import { EXIT } from './exit-status.js';

/** A daemon's files are readable by all and writable by its user, whatever shell it was started from. */
const DAEMON_UMASK = 0o022;

/** Starts the instance in the background and waits until it serves or has failed. @returns the exit status. */
export async function daemonize(settings: Settings): Promise<number> {
  const { file } = settings.log;
  // Nobody has to be detached from the journal.
  const keepsOutput = file === null && isJournal(process.stderr.fd);
  const output = file !== null ? openLog(file, settings.user) : keepsOutput ? 'inherit' : openSync('/dev/null', 'r+');
  const watched = settings.upgrade ? await announce(settings.controlSocket) : null;
  // What the service manager passes is passed to its child, this process: the daemon would not take it for its own.
  const passed = takeActivated(process.env, (text) => console.error(`warning: ${text}`));
  const umask = settings.umask ?? DAEMON_UMASK;
  const { outcome } = launch(typedInvocation(), { env: process.env, output, umask, passed });
  const result = await outcome;
  if (result.ok) {
    watched?.close();
    console.log(`generation ${result.generation} (pid ${result.pid}) serves in the background`);
    if (output !== 'inherit' && file === null) {
      console.error('warning: it writes no log: a daemon has no output of its own; --log-file says where to');
    }
    return EXIT.ok;
  }
  // In a reload the incumbent has had its signal: whether the other one gets through is decided soon.
  if (result.code === SUCCESSOR_EXISTS && process.env.MAINPID !== undefined) await watched?.gone;
  watched?.close();
  const other = settings.upgrade ? await overtaker(settings.controlSocket) : null;
  if (other !== null) {
    console.log(
      `generation ${other.generation} (pid ${other.pid}), which somebody else has started, was faster and serves`,
    );
    return EXIT.ok;
  }
  const isMute = output !== 'inherit' && file === null && [DIED, 'MOTYA_PROGRAM'].includes(result.code);
  const more = isMute ? '; a --log-file tells more' : '';
  console.error(`motya: ${result.text}${more}`);
  return EXIT.failed;
}

/**
 * Announces the successor from now on, not only once its process is up: an incumbent that was told to hand over before there
 * was one (Pingora's order) would start one itself. What is wrong with the incumbent, the daemon will say.
 */
async function announce(controlSocket: string): Promise<Watched | null> {
  try {
    return await watchIncumbent(controlSocket);
  } catch {
    return null;
  }
}

/**
 * The instance that serves, if it is younger than this process: on a busy machine the incumbent may have started a successor
 * itself before ours was there. The upgrade that was wanted has happened then, and nothing has failed.
 */
async function overtaker(controlSocket: string): Promise<{ pid: number; generation: number } | null> {
  try {
    const { pid, generation, uptime } = await requestStatus(controlSocket);
    return uptime < process.uptime() * 1000 ? { pid, generation } : null;
  } catch {
    return null;
  }
}
