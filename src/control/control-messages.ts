import {
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
  resultCode,
  text,
} from '../base/codec.js';

/** What commands (status, upgrade, stop) and a waiting successor say to the main process over its control socket. */

/** Listeners that the new version has not asked for (./removed-listeners.ts). */
const removed = list(record({ key: text, open: int, accepted: int, ms: int }));

const shapes = {
  // to the main process
  /**
   * A successor has started and waits. Answered by INSTANCE and PATHS; the connection stays open and tells of GONE. `started`: ms since
   * its process was started, and what it was started from (supervisor/program-files.ts), in its state before the programs were
   * loaded. Null: the launcher of a daemon announces the successor, whose process is about to start.
   */
  WATCH: {
    pid: int,
    started: nullable(
      record({
        age: int,
        program: record({ scripts: list(text), cwds: list(text), source: nullable(text), fingerprint: text }),
      }),
    ),
  },
  /** Answered by REPORT. */
  STATUS: {},
  /** Start a successor and hand over. Answered by PROGRESS, then RESULT; `settled`: by LIVE, too, before a probation begins. */
  UPGRADE: { dryRun: bool, settled: bool, allowRemoved: bool },
  /** End the probation: the incumbent is to serve again. Answered by RESULT. */
  ROLLBACK: {},
  /** A second one means now, unless it is said `once`: by another generation that stops. */
  STOP: { now: bool, once: bool },

  /** Sends a signal to the programs. Answered by RESULT. */
  SIGNAL: { signal: text },

  // from the main process
  INSTANCE: { pid: int, generation: int },
  /**
   * The unix paths that the instance listens on, and the keys of all its listeners with the services that use them (none: empty),
   * in pieces; the last one says so.
   */
  PATHS: { paths: list(text), keys: list(text), services: list(text), last: bool },
  /** No hand-over will come to this successor: the main process was stopped, or has another one. `code`: of the successor's end. */
  GONE: { text, code: failureCode },
  /** A Status (status/status-document.ts) in JSON, in pieces; the last one says so. */
  REPORT: { piece: text, last: bool },
  /** `waited`: the successor that waited is taken; `stale`: it is not, and a fresh one is started. `ms`: since it was started. */
  PROGRESS: {
    phase: text,
    ms: int,
    waited: optional(record({ pid: int, ms: nullable(int) })),
    stale: optional(record({ pid: int, ms: nullable(int) })),
  },
  /** The successor serves and is on probation for `probation` ms; RESULT comes at its end. */
  LIVE: { pid: int, generation: int, gapMicros: int, probation: int, removed },
  RESULT: {
    ok: bool,
    code: resultCode,
    text,
    details,
    pid: optional(int),
    generation: optional(int),
    gapMicros: optional(int),
    removed: optional(removed),
  },
} as const;

export const controlCodec = new Codec(shapes);
export type ControlShapes = typeof shapes;
export type ControlMessage = MessageOf<ControlShapes>;
export type Live = Omit<Extract<ControlMessage, { type: 'LIVE' }>, 'type'>;
export type Result = Extract<ControlMessage, { type: 'RESULT' }>;
export type Watch = Extract<ControlMessage, { type: 'WATCH' }>;
/** What a command is told of a successor that waited. */
export type Waited = Pick<Extract<ControlMessage, { type: 'PROGRESS' }>, 'waited' | 'stale'>;
