import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { inBackground } from '../base/background.js';
import { RETIRE_MS } from '../base/deadlines.js';
import { isSystemError, reasonOf } from '../base/errors.js';
import { native } from '../base/os/native.js';
import { unlinkIfSame } from '../base/os/path-identity.js';
import { ADMIN } from './declared.js';
import type { Listener } from './listener.js';

/** ms between two looks at the queue of a listener that is being retired: the kernel sends no event when it becomes empty. */
const RETIRE_LOOK_MS = 10;
/** Looks in a row that must find it empty: a SYN that the kernel was processing when the filter came is seen by the next look. */
const RETIRE_LOOKS = 2;

/** The workers that accept on listeners while these are retired. */
export interface Acceptors {
  /**
   * How many connections they have accepted on these listeners; null when one has not answered. Each has looked at its listeners
   * between two answers.
   */
  accepted(listeners: readonly Listener[]): Promise<number | null>;
  /** Resolves when no client is left to wait for. */
  readonly cut: Promise<void>;
  /** Told of a listener whose clients may be reset. */
  warn(text: string): void;
}

/**
 * Empties listeners that no generation uses any more, so that closing them resets no client: close(2) resets every connection in the
 * backlog or in the middle of a handshake. First no new client gets in, which holds for every process that has the listener; then those
 * that are in are accepted, by workers that go on accepting. The caller closes them.
 */
export async function retire(listeners: readonly Listener[], { accepted, cut, warn }: Acceptors): Promise<void> {
  const used = listeners.filter(isServed);
  if (used.length === 0) return;
  const unix = used.filter(({ socket }) => socket.family === 'unix');
  const tcp = used
    .filter(({ socket }) => socket.family !== 'unix')
    .filter((listener) => refusesNewcomers(listener, warn));
  for (const { path, socket } of unix) if (path !== null && socket.path !== null) unlinkIfSame(socket.path, path);

  const deadline = performance.now() + RETIRE_MS;
  let isCut = false;
  const noted = cut.then(() => {
    isCut = true;
  });
  inBackground('cutting a listener off', noted);
  for (let quiet = 0; quiet < RETIRE_LOOKS && !isCut && performance.now() < deadline; ) {
    quiet = (await anyWaits(tcp, unix)) ? 0 : quiet + 1;
    await Promise.race([delay(RETIRE_LOOK_MS), cut]);
  }

  // Not before they are empty: afterwards poll(2) says of them, empty or not, that they are readable (unix_poll). Abstract ones
  // have no path that could go, so clients may have come in between: workers accept until two looks in a row find none.
  const shut = unix.filter(({ fd }) =>
    holds(() => {
      native.retire.shutdownReceive(fd);
      return true;
    }),
  );
  if (shut.length === 0) return;
  const end = performance.now() + RETIRE_MS;
  let last: number | null = null;
  for (let quiet = 0; quiet < RETIRE_LOOKS && !isCut && performance.now() < end; ) {
    const now = (await Promise.race([accepted(shut), cut])) ?? null;
    quiet = now !== null && now === last ? quiet + 1 : 0;
    last = now;
  }
}

/** A client of any other waits in vain in any case. */
const isServed = ({ socket, users, service }: Listener): boolean =>
  socket.type === 'stream' && (users.size > 0 || service === ADMIN);

async function anyWaits(tcp: readonly Listener[], unix: readonly Listener[]): Promise<boolean> {
  return (
    tcp.some(({ fd }) => holds(() => native.listener.queueLength(fd).waiting > 0)) ||
    unix.some(({ fd }) => holds(() => native.fd.waitReadable(fd, 0))) ||
    (await anyShakesHands(new Set(tcp.map(({ socket }) => socket.port))))
  );
}

/**
 * `sl local_address rem_address st …`, the state in hex: 03 is SYN_RECV (include/net/tcp_states.h), a handshake whose last ACK is
 * still to come. The address is not compared: IPv4 clients of an IPv6 listener have another one.
 */
const SYN_RECV = /^ *\d+: [\dA-F]+:([\dA-F]{4}) \S+ 03 /gm;

async function anyShakesHands(ports: ReadonlySet<number | null>): Promise<boolean> {
  if (ports.size === 0) return false;
  const tables = await Promise.all(
    ['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'latin1').catch(() => '')),
  );
  return tables.some((table) =>
    [...table.matchAll(SYN_RECV)].some(([, port]) => ports.has(Number.parseInt(port ?? '', 16))),
  );
}

/** Dropped SYNs first: that spares clients whose handshake is a SYN cookie, too. Some kernels want CAP_NET_ADMIN for it. */
const WAYS = ['dropSyns', 'leaveInterfaces'] as const;

/** False: the kernel lets us do neither; then it is closed as it is. */
function refusesNewcomers({ fd, key }: Listener, warn: (text: string) => void): boolean {
  let reason = '';
  for (const way of WAYS) {
    try {
      native.retire[way](fd);
      return true;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      reason = reasonOf(error);
    }
  }
  warn(`${key} ends, and clients that connect to it now may be reset: ${reason}`);
  return false;
}

/** Not of a listener that its program has closed meanwhile. */
function holds(question: () => boolean): boolean {
  try {
    return question();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return false;
  }
}
