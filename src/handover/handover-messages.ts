import {
  anything,
  bool,
  Codec,
  details,
  failureCode,
  int,
  list,
  type MessageOf,
  nullable,
  optional,
  record,
  text,
} from '../base/codec.js';
import { connectionCounts, movedConnection } from '../runtime/worker-messages.js';

/** Versions of this protocol that we speak. HELLO names a range, OFFER the one that is used. */
export const PROTOCOL = { min: 1, max: 1 } as const;

/** What goes with each fd of FDS, in the fds' order. The receiver computes the key from the socket and compares. */
const entry = record({
  key: text,
  alias: nullable(text),
  backlog: int,
  path: nullable(record({ dev: int, ino: int })),
  /** Name under which the service manager holds a copy. */
  heldAs: optional(text),
  /** Pid of another program that may still have it. */
  adoptedFrom: optional(int),
  /** ms after its worker was ready in which a program has asked for it; missing: none has, or not as it started. */
  lateBy: optional(int),
  /** listeners/ticket-keys.ts */
  tickets: optional(record({ keys: text, since: int })),
});
export type ManifestEntry = NonNullable<(typeof entry)['type']>;

/** What a drain waits for, of one kind: ms until what is left of it is closed by force. */
const wait = record({ connections: int, left: int });
const waits = record({ http: wait, streams: wait, webSockets: wait, tcp: wait });
export type WaitReport = NonNullable<(typeof waits)['type']>;

/** A generation that drains, as another one tells of it. */
const other = record({
  pid: int,
  generation: int,
  connections: int,
  left: optional(int),
  protocols: optional(connectionCounts),
  waits: optional(waits),
});

const shapes = {
  // successor → incumbent
  /**
   * `min`, `max`: the range of protocol versions that it speaks. `ready`: ms that it gives its services to become ready.
   * `probation`: ms after LIVE in which it wants to be on probation. `moves`: it takes connections (MOVE).
   */
  HELLO: { txid: text, min: int, max: int, pid: int, version: text, ready: int, probation: int, moves: optional(bool) },
  ADOPTED: { txid: text, listeners: int },
  /**
   * Every service is booted. `kept`, `added`, `removed`, `leftOut`: see ./listener-diff.ts.
   */
  READY: { txid: text, kept: int, added: int, removed: int, leftOut: list(text) },
  /** Accepting on all; the pidfile is ours. `removed`: as in SETTLED, when there is no probation. */
  LIVE: { txid: text, removed: optional(list(text)) },
  /** On probation, when it has changed: keys of the adopted listeners that are left out. The incumbent accepts on these alone. */
  LEFT_OUT: { txid: text, keys: list(text) },
  /** On probation, once a second. `counters`: all that it has counted since LIVE. */
  PROVING: { txid: text, counters: anything },
  /**
   * The probation is over; answered by DRAINING, or by REVOKED. `removed`: keys of the adopted listeners that no program uses now:
   * the successor has closed its copies, and the incumbent ends them. `unconditional`: also those that still get connections.
   */
  SETTLED: { txid: text, removed: list(text), unconditional: bool },
  /** It has failed, or was told to go back; answered by REVOKED. */
  ROLLBACK: { txid: text, code: failureCode, text, details },

  // incumbent → successor
  /**
   * `protocol`: the version from here on. `watchdog`: µs between two pings that the service manager wants; it has told only the unit's
   * first process. `ending`: ms for which an address in use may be that of a listener that another generation is about to close.
   * `moves`: it takes connections (MOVE), if it serves again.
   */
  OFFER: {
    txid: text,
    protocol: int,
    pid: int,
    generation: int,
    listeners: int,
    watchdog: optional(int),
    ending: optional(int),
    moves: optional(bool),
  },
  /** With one fd an entry. */
  FDS: { txid: text, entries: list(entry) },
  /** With one fd: the open file that holds the pidfile's lock. Ends the OFFER. */
  LOCK: { txid: text },
  /** With one fd: what the program of a worker hands on to that of the successor (runtime/state-transfer.ts). */
  STATE: { txid: text, service: text, index: int },
  /**
   * The incumbent accepts nothing any more. `history`: its memory (status/history.ts); no reason to fail, whatever it is.
   * `signalled`: ms since the signal for which the incumbent has started this successor, as none waited.
   */
  COMMIT: { txid: text, history: optional(anything), signalled: optional(int) },
  /**
   * While the successor is on probation, and while it drains, every few seconds at least. `left`: ms until the last of what is open now is
   * closed by force; `probation`: ms until it begins to drain; `protocols`: the connections by what is spoken; `waits`: the same by
   * what the drain gives a time of its own; `counters`: all that it has
   * counted since COMMIT; `gap`: µs from COMMIT to LIVE; `others`: generations before it that it still follows.
   */
  STATS: {
    txid: text,
    connections: int,
    left: int,
    protocols: optional(connectionCounts),
    waits: optional(waits),
    counters: optional(anything),
    gap: optional(int),
    probation: optional(int),
    others: optional(list(other)),
  },
  /** It has heard SETTLED: its listeners are closed. */
  DRAINING: { txid: text },
  /** It accepts again and is the main process; the successor drains, and says STATS and BYE in its turn. */
  REVOKED: { txid: text, code: failureCode, text, details },
  /**
   * With one fd: the conversation with a generation that drains still, which the successor is to follow from here on.
   * `counted`: what of its counters COMMIT had in it; `connections`, `left`, `protocols`, `waits`: what it
   * has said last.
   */
  PREDECESSOR: {
    txid: text,
    pid: int,
    generation: int,
    counted: anything,
    connections: optional(int),
    left: optional(int),
    protocols: optional(connectionCounts),
    waits: optional(waits),
  },
  BYE: { txid: text, forced: int, moved: int, counters: anything },

  // the one that drains → the one that serves, and back
  /**
   * As between a worker and its supervisor (runtime/worker-messages.ts), with the worker that it comes from. A peer that has lost it, or
   * is gone, changes nothing: the words tell who owns the connections.
   */
  MOVE: { txid: text, id: int, service: text, index: int, key: text, connections: list(movedConnection) },
  MOVED: { txid: text, id: int, room: int },

  // either → either
  ABORT: { txid: text, code: failureCode, text, details },
} as const;

/** Those with fds. What rides on any other message is closed unread: the receiver would not look for it. */
export const CARRIERS: ReadonlySet<keyof typeof shapes> = new Set(['FDS', 'LOCK', 'STATE', 'PREDECESSOR', 'MOVE']);

export const handoverCodec = new Codec(shapes, ['MOVE']);
export type HandoverShapes = typeof shapes;
export type HandoverMessage = MessageOf<HandoverShapes>;
