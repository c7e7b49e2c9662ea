import { inBackground } from '../base/background.js';
import { GREETING_MS, SUCCESSOR_GRACE_MS, SUCCESSOR_START_MS } from '../base/deadlines.js';
import { HandoverError } from '../base/errors.js';
import { type Launched, outcomeError } from '../base/os/launch.js';
import { native } from '../base/os/native.js';
import { within } from '../base/timeout.js';
import { connectUpgradeSocket } from './upgrade-socket.js';

/** How an incumbent finds the successor that it is to hand over to. */
export interface Search {
  readonly upgradeSocket: string;
  /** `start`: when none comes, start one. `now`: start one unless one waits already. `wait`: only look. */
  readonly mode: 'start' | 'now' | 'wait';
  /** ms for which to look when the mode is `wait`, or a successor has announced itself. */
  readonly waitMs: number;
  /** Pid of a successor that has announced itself on the control socket and may be about to listen. */
  announced(): number | null;
  /** Starts a successor: the same program, the same arguments. */
  launch(): Launched;
  readonly cancelled: AbortSignal;
}

export interface FoundSuccessor {
  /** A connection to the upgrade socket, whose peer has been checked. */
  readonly fd: number;
  /** The process that was started for it; null: the successor waited, or came by itself. */
  readonly launched: Launched | null;
}

/**
 * Connects to the successor that waits, or comes, or is started now.
 * @throws {HandoverError} none came, and why.
 */
export async function findSuccessor(search: Search): Promise<FoundSuccessor> {
  const { upgradeSocket, mode, cancelled } = search;
  const lookFor = async (ms: number, ...signals: AbortSignal[]): Promise<number | null> => {
    // Not AbortSignal.timeout: any() does not keep it alive, and the first garbage collection takes the deadline with it
    // (Node 20): the wait would not end.
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), ms);
    const fd = await connectUpgradeSocket(upgradeSocket, AbortSignal.any([over.signal, cancelled, ...signals])).finally(
      () => clearTimeout(timer),
    );
    if (fd !== null && cancelled.aborted) native.fd.close(fd);
    cancelled.throwIfAborted();
    return fd;
  };

  const firstLook = mode === 'wait' ? search.waitMs : mode === 'now' ? 0 : SUCCESSOR_GRACE_MS;
  let fd = await lookFor(firstLook);
  if (fd === null && search.announced() !== null) fd = await lookFor(search.waitMs);
  if (fd !== null) return { fd, launched: null };
  if (mode === 'wait') {
    throw new HandoverError(
      'ERR_MOTYA_NO_SUCCESSOR',
      `no successor came to ${upgradeSocket} within ${search.waitMs / 1000} s`,
      { details: { path: upgradeSocket, ms: search.waitMs } },
    );
  }

  const launched = search.launch();
  const ended = new AbortController();
  inBackground(
    'the end of a successor',
    launched.outcome.then((outcome) => ended.abort(outcome)),
  );
  try {
    fd = await lookFor(SUCCESSOR_START_MS, ended.signal);
  } finally {
    const isOurs = fd !== null && native.channel.peerCredentials(fd).pid === launched.pid;
    if (!isOurs && !ended.signal.aborted) dismiss(launched.pid);
  }
  if (fd !== null) return { fd, launched };
  const outcome = ended.signal.aborted ? await launched.outcome : null;
  if (outcome?.ok === false && outcome.code === 'ERR_MOTYA_SUCCESSOR_EXISTS') {
    // Another successor has the lock of the socket, and is about to listen.
    fd = await lookFor(search.waitMs);
    if (fd !== null) return { fd, launched: null };
  }
  if (outcome !== null && !outcome.ok) throw outcomeError(outcome);
  throw new HandoverError(
    'ERR_MOTYA_NO_SUCCESSOR',
    `the successor (pid ${launched.pid}) did not come to ${upgradeSocket} within ${SUCCESSOR_START_MS / 1000} s`,
    { details: { path: upgradeSocket, ms: SUCCESSOR_START_MS, pid: launched.pid } },
  );
}

/** Why a successor that we have launched hung up before it could say it on the channel: it has said it on its pipe. */
export async function ownReason(launched: Launched, failure: HandoverError): Promise<HandoverError> {
  if (failure.code !== 'ERR_MOTYA_PEER_GONE') return failure;
  const outcome = await within(GREETING_MS, launched.outcome);
  return outcome === null || outcome.ok || outcome.code === 'ERR_MOTYA_INSTANCE_DIED' ? failure : outcomeError(outcome);
}

/** One that is late, or was overtaken by another one, would wait for the next upgrade with the code that it has loaded now. */
function dismiss(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch {
    // It has just ended, or is not ours to end.
  }
}
