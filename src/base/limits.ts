/** Limits that several files share: the unit is in the name or the comment, the reason beside it. Deadlines of the protocol: ./deadlines.ts. */

/** Bytes of one channel message. A SEQPACKET message must fit into SO_SNDBUF (212,992 by default); a third leaves room for fds. */
export const MESSAGE_BYTES = 64 * 1024;
/** Fds in one message. The kernel allows 253 (SCM_MAX_FD); half of it leaves room for its JSON. */
export const MESSAGE_FDS = 128;
/** Messages that may wait for a peer that does not read; beyond it the channel is closed. A thousand listeners need eight. */
export const CHANNEL_QUEUE = 4096;
/** ms after which a program that has not listened is told of, while it is waited for: most have by then. */
export const LISTEN_HINT_MS = 3_000;
/** ms that a program which is ready may still have a port open that it only looks at: it listens and closes at once. */
export const PORT_PROBE_MS = 2_000;
/** ms between two tries to reach an upgrade socket that is not there yet. */
export const RECONNECT_MS = 50;
/** ms that a worker has to close what FORCE tells it to close. */
export const FORCE_MS = 1_000;
/**
 * ms between two looks whether a process of a worker that does not listen yet listens without us, and how many must find the same
 * socket: a program that has a helper with a port listens itself within seconds. A look costs a millisecond, and 50 µs for each process of the
 * machine when there is a new socket.
 */
export const OUTSIDE_LOOK_MS = 1_000;
export const OUTSIDE_LOOKS = 3;
/** ms: the longest a Node timer can wait (2^31-1, 24.8 days); a longer one fires at once. No duration may be longer. */
export const LONGEST_TIMER_MS = 2_147_483_647;
/** The largest uid or gid; the number above it means "no change" to the kernel (setresuid(2)). */
export const LARGEST_ID = 4_294_967_294;
/** Control connections at once; more are closed. A command needs one, a status page a few. */
export const CONTROL_PEERS = 64;
/** ms without accepting on our own sockets after an accept has failed (no fds left): a busy loop would not help. */
export const ACCEPT_RETRY_MS = 1_000;
/** UTF-16 units of a reason that is stored or sent: it may be a whole page of settings errors. */
export const REASON_LENGTH = 2_000;
/** Messages that one event reads from a channel before signals and timers get their turn. */
export const MESSAGES_PER_EVENT = 64;
