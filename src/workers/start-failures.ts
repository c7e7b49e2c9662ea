import { StartError } from '../base/errors.js';
import { LISTEN_HINT_MS } from '../base/limits.js';
import { adviceOnOutside, describeOutside, type Outside } from './outside.js';
import type { Worker } from './worker.js';

/** Why a service does not start, in words. `what`: the service and its program. */

const NO_LISTENER_ADVICE =
  'a program that has no port, or opens it late, says when it is ready: --ready signal, and ready() or process.send("ready")';

/** While it is waited for. `debuggers`: where it waits for one, if its options say so. */
export const silenceHint = (debuggers: string | null): string =>
  debuggers === null
    ? `it listens on nothing after ${LISTEN_HINT_MS / 1000} s; ${NO_LISTENER_ADVICE}`
    : waitsForDebugger(debuggers);

const waitsForDebugger = (where: string): string =>
  `its options (--inspect-brk, --inspect-wait) make it wait for a debugger on ${where}`;

export function endedTooSoon(what: string, worker: Worker, reason: string): StartError {
  const when = worker.isReady ? 'while it waited to serve' : 'before it was ready';
  const { lastRefusal } = worker;
  const refusal = lastRefusal === null ? '' : ` (${lastRefusal.text})`;
  // A refusal says more than the program's error about it: which process has the address.
  const words = refusal === '' ? worker.lastReason() : null;
  const text = `${what} ${endOf(reason)} ${when}${refusal}${words === null ? '' : `: ${words}`}`;
  const said = words === null ? {} : { said: words };
  const details = { service: worker.service, worker: worker.index, end: reason, ready: worker.isReady, ...said };
  return new StartError('ERR_MOTYA_PROGRAM', text, {
    stderr: worker.lastLines(),
    details: { ...details, ...lastRefusal?.details },
  });
}

export function listensOutside(what: string, outside: Outside): StartError {
  const { worker, pid, where } = outside;
  const who = pid === worker ? 'its own process' : describeOutside(outside);
  const text = `${what} listens on nothing that can be handed over, but ${who} listens on ${where}: ${adviceOnOutside(outside)}`;
  return new StartError('ERR_MOTYA_NOT_READY', text, { details: { pid, listens: where } });
}

export function notReady(
  what: string,
  { waits, ready, ms, debuggers }: { waits: boolean; ready: 'listen' | 'signal'; ms: number; debuggers: string | null },
): StartError {
  const seconds = ms / 1000;
  if (debuggers !== null) {
    // Whether one has come is not known.
    const text = `${what} is not ready after ${seconds} s; perhaps no debugger is attached: ${waitsForDebugger(debuggers)}`;
    return new StartError('ERR_MOTYA_NOT_READY', text, { details: { awaits: 'debugger', ms } });
  }
  if (waits) {
    const first = ready === 'signal' ? 'ready()' : 'listen()';
    const text = `${what} waits for inherited(), which comes when it has called ${first}: call that first; it still waits after ${seconds} s`;
    return new StartError('ERR_MOTYA_NOT_READY', text, { details: { awaits: 'inherited', first: ready, ms } });
  }
  if (ready === 'signal')
    return new StartError('ERR_MOTYA_NOT_READY', `${what} has not called ready() after ${seconds} s`, {
      details: { awaits: 'signal', ms },
    });
  const text = `${what} listens on nothing after ${seconds} s; ${NO_LISTENER_ADVICE}`;
  return new StartError('ERR_MOTYA_NOT_READY', text, { details: { awaits: 'listen', ms } });
}

/** A signal that the supervisor has not sent comes from another process, or from the kernel. */
function endOf(reason: string): string {
  if (reason !== 'signal SIGKILL') return `ended (${reason})`;
  return 'was killed (signal SIGKILL, by another process or by the kernel for want of memory)';
}
