import { openSync } from 'node:fs';
import { constants } from 'node:os';
import { deferred } from '../base/deferred.js';
import { takeActivated } from '../base/os/activation.js';
import { typedInvocation } from '../base/os/invocation.js';
import { type Launched, launch } from '../base/os/launch.js';
import { endsWithin, parentOf } from '../base/os/processes.js';
import type { Settings } from '../config/settings.js';
import { answersAt, requestStatus, type Watched, watchIncumbent } from '../control/client.js';
import { isJournal, openLog } from '../logging/log-file.js';
import { EXIT } from './exit-status.js';
import { printFailure } from './failure-line.js';

/** ms for a daemon whose start was interrupted to end, beyond the killGrace of its programs: some 100 ms, more on a busy machine. */
const GIVE_UP_MS = 10_000;
/** ms between two looks whether it serves after all; its end is seen at once. */
const GIVE_UP_LOOK_MS = 100;

/** Exit status of a command that a signal has ended, less the signal's number, as shells have it. */
const SIGNALLED = 128;

/** A daemon's files are readable by all and writable by its user, whatever shell it was started from. */
const DAEMON_UMASK = 0o022;

/** Starts the instance in the background and waits until it serves or has failed. @returns the exit status. */
export async function daemonize(settings: Settings): Promise<number> {
  const { file } = settings.log;
  // The journal keeps its stream: nothing has to be detached from it.
  const keepsOutput = file === null && isJournal(process.stderr.fd);
  const output = file !== null ? openLog(file, settings.user) : keepsOutput ? 'inherit' : openSync('/dev/null', 'r+');
  const watched = settings.upgrade ? await announce(settings.controlSocket) : null;
  // What the service manager passes is passed to its child, this process: the daemon would not take it for its own.
  const passed = takeActivated(process.env, (text) => console.error(`warning: ${text}`));
  const umask = settings.umask ?? DAEMON_UMASK;
  const interruption = awaitInterruption();
  const launched = launch(typedInvocation(), { env: process.env, output, umask, passed, attended: true });
  const result = await Promise.race([launched.outcome, interruption.signalled]);
  interruption.forget();
  if (typeof result === 'string') {
    watched?.close();
    return giveUp(launched, result, settings);
  }
  if (result.ok) {
    watched?.close();
    console.log(`generation ${result.generation} (pid ${result.pid}) serves in the background`);
    if (output !== 'inherit' && file === null) {
      console.error('warning: it writes no log: a daemon has no output of its own; --log-file says where to');
    }
    return EXIT.ok;
  }
  // In a reload the incumbent has had its signal: whether the other one gets through is decided soon.
  if (result.code === 'ERR_MOTYA_SUCCESSOR_EXISTS' && process.env.MAINPID !== undefined) await watched?.gone;
  watched?.close();
  const other = settings.upgrade ? await overtaker(settings.controlSocket) : null;
  if (other !== null) {
    console.log(
      `generation ${other.generation} (pid ${other.pid}), which was started elsewhere, was faster and serves`,
    );
    return EXIT.ok;
  }
  const isMute =
    output !== 'inherit' && file === null && ['ERR_MOTYA_INSTANCE_DIED', 'ERR_MOTYA_PROGRAM'].includes(result.code);
  const more = isMute ? '; a --log-file tells more' : '';
  printFailure(`${result.text}${more}`, result.code);
  return EXIT.failed;
}

/** Signals that cancel the command. */
const INTERRUPTIONS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
type Interruption = (typeof INTERRUPTIONS)[number];

/** Resolves with the first of them, until it is forgotten: then they end this process again. */
function awaitInterruption(): { signalled: Promise<Interruption>; forget(): void } {
  const { promise, resolve } = deferred<Interruption>();
  for (const signal of INTERRUPTIONS) process.on(signal, resolve);
  return {
    signalled: promise,
    forget: () => {
      for (const signal of INTERRUPTIONS) process.off(signal, resolve);
    },
  };
}

/**
 * The command was interrupted: the daemon that boots hears the pipe's end, and ends. One that is past the point at which it could
 * (it serves, or an incumbent has committed to it) goes on, and that is said.
 * @returns the exit status, as shells have it
 */
async function giveUp(launched: Launched, signal: Interruption, settings: Settings): Promise<number> {
  const { pid } = launched;
  const status = SIGNALLED + constants.signals[signal];
  // Until the daemon has ended a second signal changes nothing: it would be left behind.
  for (const again of INTERRUPTIONS) process.on(again, () => {});
  launched.hangUp();
  const grace = Math.max(...settings.services.map(({ killGrace }) => killGrace));
  const deadline = performance.now() + GIVE_UP_MS + grace;
  while (performance.now() < deadline) {
    if (await endsWithin(GIVE_UP_LOOK_MS, pid)) {
      printFailure(
        `interrupted (${signal}); the daemon (pid ${pid}), which did not serve yet, has ended`,
        'ERR_MOTYA_INTERRUPTED',
      );
      return status;
    }
    const serving = servingAt(settings.controlSocket);
    if (serving !== null && (serving === pid || parentOf(serving) === pid)) {
      printFailure(
        `interrupted (${signal}), but pid ${serving} serves already; motya stop ends it`,
        'ERR_MOTYA_INTERRUPTED',
      );
      return status;
    }
  }
  kill(pid);
  printFailure(
    `interrupted (${signal}); the daemon (pid ${pid}) did not end by itself and was killed`,
    'ERR_MOTYA_INTERRUPTED',
  );
  return status;
}

/** One that is stopped, or busy for good. Its workers see its end. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}

function servingAt(controlSocket: string): number | null {
  try {
    return answersAt(controlSocket);
  } catch {
    return null;
  }
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
