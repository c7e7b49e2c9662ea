import {
  bool,
  Codec,
  int,
  list,
  type MessageOf,
  nullable,
  oneOf,
  optional,
  record,
  signed,
  text,
} from '../base/codec.js';
import { listenRequest } from '../listeners/listen-request.js';

/**
 * What a worker and its supervisor say to each other over the worker's channel (a socketpair, fd 3 in the worker). Each side numbers
 * its own questions; an answer has the id of its question. LISTEN is answered at once by LISTENER, PENDING or REFUSED; after PENDING a
 * LISTENER or REFUSED with the same id follows.
 */

/** Open connections by what is spoken on them. `idle`: HTTP/1 connections between two requests, or that have not spoken yet. */
export const connectionCounts = record({ http1: int, idle: int, http2: int, upgraded: int, other: int });
export type ConnectionCounts = NonNullable<(typeof connectionCounts)['type']>;

/** Of each kind that a drain knows (base/drain-kinds.ts): a number of connections, or ms. */
export const kindNumbers = record({ http: int, streams: int, webSockets: int, tcp: int });

/** HTTP/1 answers, and those of them with status 5xx. */
export const answerCounts = record({ answers: int, failed: int });
export type AnswerCounts = NonNullable<(typeof answerCounts)['type']>;

/** Of one listener in one worker. `open`: connections now; `accepted`: connections, or datagrams, since the worker has it. */
const listenerCount = record({ key: text, open: int, accepted: int });
export type ListenerCount = NonNullable<(typeof listenerCount)['type']>;

/** A connection that moves. `isFresh`: nothing has been read from it yet. `kind`: of one that the program hands over. */
export const movedConnection = record({ isFresh: bool, kind: optional(text) });
export type MovedConnection = NonNullable<(typeof movedConnection)['type']>;

/**
 * Connections that could not move, by reason. `touched`: the program has put something on the socket; `kept`: `stay()`; `refused`: by
 * the receiver; `other`: not HTTP/1 of an `http.Server` that reads its sockets itself, or not seen to be idle in time.
 */
export const stayedCounts = record({
  touched: int,
  kept: int,
  tls: int,
  http2: int,
  upgraded: int,
  refused: int,
  other: int,
});
export type StayedCounts = NonNullable<(typeof stayedCounts)['type']>;
export type ReasonToStay = keyof StayedCounts;
/** MOVEs of one worker that are not answered yet: one is read while the next one comes, and no process holds more fds than these. */
export const UNANSWERED_MOVES = 2;

const shapes = {
  // worker → supervisor
  LISTEN: { id: int, request: listenRequest },
  /** The program closed the server itself (not because of PAUSE, DRAIN or its own end). */
  RELEASE: { key: text },
  /** The program is about to unlink `path`, a socket: is it a listener of the instance (or of the incumbent)? */
  OWNS: { id: int, path: text },
  /** The program, which boots, is about to connect to this TCP port of its machine: does the incumbent answer there? See OWNED. */
  ANSWERS: { id: int, port: int },
  READY: {},
  /** A worker of the program's own cluster has ended by itself before it listened. `reason`: how, in words. */
  CHILD_END: { pid: int, reason: text },
  /** A process that the program had started has ended with exit status 0, or because the program has killed it. */
  CHILD_DONE: { pid: int },
  /** A connection could not be accepted for lack of fds or memory; said once in a while. `code` as accept(2) has it. */
  EXHAUSTED: { code: text },
  PAUSED: { id: int },
  ACCEPTING: { id: int },
  /** `delay` in µs, when it was asked for and there is a measurement. `answers`: since they were asked for first. */
  COUNTS: {
    id: int,
    connections: connectionCounts,
    delay: optional(record({ p50: int, p99: int, max: int })),
    answers: optional(answerCounts),
    /** While it drains. */
    kinds: optional(kindNumbers),
  },
  /** Of those that COUNT_LISTENERS names and that the worker has. */
  LISTENER_COUNTS: { id: int, listeners: list(listenerCount) },
  /** The program has a value to hand on, or has none any more. */
  GIVES: { gives: bool },
  /** With one fd, the value serialized (v8); or why there is none. */
  GIVEN: { id: int, error: optional(text) },
  /** The program asks for what it inherits, which comes before ACCEPT and not earlier. */
  AWAITS: {},
  /**
   * No connection is left; `forced`: how many of each kind FORCE has closed; `ended`: how many ended by themselves; `moved`: how many
   * went to the other generation; `stayed`: how many could not, by reason.
   */
  DRAINED: { id: int, forced: connectionCounts, ended: int, moved: int, stayed: stayedCounts },

  // supervisor → worker
  /** With one fd. `address` and `port` as getsockname tells; `path` for unix. */
  LISTENER: {
    id: int,
    key: text,
    family: oneOf('inet', 'inet6', 'unix'),
    address: nullable(text),
    port: nullable(int),
    path: nullable(text),
    /** In force where the program names none. */
    backlog: optional(int),
    /** The address is held by another listener: the program finds it free, but must close it again before it is ready. */
    lent: optional(bool),
    /** For TLS sessions: base64 of 48 bytes, the same in every worker and, for a day, in every generation. */
    ticketKeys: optional(text),
  },
  PENDING: { id: int },
  /** As the system call failed; `plain`: not at all, the program is to have a plain socket of its own. */
  REFUSED: { id: int, code: text, errno: signed, syscall: text, plain: optional(bool) },
  OWNED: { id: int, owned: bool },
  /**
   * Stop accepting, be able to go on; answered by PAUSED. `lease`: ms after which to go on without having been told anything;
   * without it another generation accepts by now.
   * `except`: keys of listeners that no other process will accept on.
   */
  PAUSE: { id: int, lease: optional(int), except: optional(list(text)) },
  /** After PAUSED: what the program hands on is wanted; answered by GIVEN. ACCEPT takes it back. */
  GIVE: { id: int },
  /** With fds: values of workers of the generation before. Comes before ACCEPT, or not at all. */
  INHERIT: {},
  /** Accept (again); answered by ACCEPTING. */
  ACCEPT: { id: int },
  /**
   * Give the listeners up and finish what is open; said once, answered by DRAINED when nothing is. `times`: ms for what is
   * open of each kind; after the longest, FORCE comes. `move`: connections may go to the other generation, this many with a MOVE.
   */
  DRAIN: { id: int, times: kindNumbers, move: optional(int) },
  /** After DRAIN: no kind has longer than `timeout` ms, and FORCE comes then. */
  SHORTEN: { timeout: int },
  /** Close what is still open, now. */
  FORCE: {},
  /** Answered by COUNTS. `delay`: with that of the event loop, which is measured from the first time on that it is asked for. */
  COUNT: { id: int, delay: optional(bool), answers: optional(bool) },
  /** Answered by LISTENER_COUNTS. */
  COUNT_LISTENERS: { id: int, keys: list(text) },
  /** Open the inspector, as soon as its port is free, or close it: a fixed port is one generation's. See `--inspect` of node. */
  INSPECTOR: { open: bool },
  /** With one fd that stdout and stderr are to become: a daemon's log file was reopened (`log.programs: inherit`). */
  OUTPUT: {},

  // either → either
  /**
   * Connections that change their process: from a worker that drains to its supervisor, and from the other generation's supervisor to a
   * worker of its own; answered by MOVED. With an fd of ownership words (./move-ownership.ts) and one of each connection, whose
   * word has its place in the list. Those that the program hands over have two more: what travels along (./outgoing-connections.ts), and an end of
   * the channel for what is still written to them (./move-tail.ts); such a MOVE has no others. None at all: it asks for the room
   * alone. `key`: of the listener that they came through.
   */
  MOVE: { id: int, key: text, connections: list(movedConnection) },
  /**
   * It is done with; which connections have been taken is in their words. `room`: how many more the receiver can take, at most;
   * 0: no more.
   */
  MOVED: { id: int, room: int },
} as const;

/** MOVE: what has been lost on its way is still its sender's. */
export const workerCodec = new Codec(shapes, ['MOVE']);
export type WorkerShapes = typeof shapes;
export type WorkerMessage = MessageOf<WorkerShapes>;

/** What each question of the supervisor is answered by. */
export const ANSWERS = {
  PAUSE: 'PAUSED',
  ACCEPT: 'ACCEPTING',
  GIVE: 'GIVEN',
  DRAIN: 'DRAINED',
  COUNT: 'COUNTS',
  COUNT_LISTENERS: 'LISTENER_COUNTS',
  MOVE: 'MOVED',
} as const;

/** fd of the channel in a worker. */
export const WORKER_CHANNEL_FD = 3;
/** Environment variable that makes a process a worker: a {@link WorkerRole} in JSON. The preload removes it before the program runs. */
export const WORKER_ENV = 'MOTYA_WORKER';
/** The same role for Node processes that the program starts; it stays there, for theirs. */
export const BRANCH_ENV = 'MOTYA_BRANCH_OF';

export interface WorkerRole {
  /** Name of the service, for example `web`. */
  readonly service: string;
  /** From 0 to workers-1. */
  readonly index: number;
  readonly generation: number;
  /** True: listeners are held without accepting until ACCEPT comes. */
  readonly held: boolean;
  /** What makes the worker ready: its first listeners, or a call of `ready()`. */
  readonly ready: 'listen' | 'signal';
  /** Stdout and stderr are pipes to the supervisor, which end with it. */
  readonly tagged: boolean;
  /** Name of the abstract unix socket at which Node processes that the program starts find the supervisor. */
  readonly branches: string;
  /** Path of Motya as it was typed, where it is known: see base/os/own-file.ts. */
  readonly entry?: string | undefined;
  /** NODE_OPTIONS as the program is to find it; undefined: as it is. */
  readonly nodeOptions?: string | undefined;
}
