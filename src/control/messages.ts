import { bool, Codec, int, list, type MessageOf, optional, record, text } from '../codec.js';

/** What commands (status, upgrade, stop) and a waiting successor say to the main process over its control socket. */

/** Listeners that the new version has not asked for (./removed.ts). */
const removed = list(record({ key: text, open: int, accepted: int, ms: int }));

const shapes = {
  // to the main process
  /** A successor has started and waits. Answered by INSTANCE and PATHS; the connection stays open and tells of GONE. */
  WATCH: { pid: int },
  /** Answered by REPORT. */
  STATUS: {},
  /** Start a successor and hand over. Answered by PROGRESS, then RESULT; `settled`: by LIVE, too, before a probation begins. */
  UPGRADE: { dryRun: bool, settled: optional(bool), allowRemoved: optional(bool) },
  /** End the probation: the incumbent is to serve again. Answered by RESULT. */
  ROLLBACK: {},
  STOP: { now: bool },

  // from the main process
  INSTANCE: { pid: int, generation: int },
  /** The unix paths that the instance listens on, in pieces; the last one says so. */
  PATHS: { paths: list(text), keys: optional(list(text)), last: bool },
  /** The main process is about to end without a hand-over because somebody stopped it. */
  GONE: { text },
  /** A Status (observe/status.ts) in JSON, in pieces; the last one says so. */
  REPORT: { piece: text, last: bool },
  PROGRESS: { phase: text, ms: int },
  /** The successor serves and is on probation for `probation` ms; RESULT comes at its end. */
  LIVE: { pid: int, generation: int, gapMicros: int, probation: int, removed: optional(removed) },
  RESULT: {
    ok: bool,
    code: text,
    text,
    pid: optional(int),
    generation: optional(int),
    gapMicros: optional(int),
    removed: optional(removed),
  },

  /** What instances of the first version answer to STATUS; enough to know that they answer. */
  SUMMARY: {},
  LISTENERS: {},
} as const;

export const controlCodec = new Codec(shapes);
export type ControlShapes = typeof shapes;
export type ControlMessage = MessageOf<ControlShapes>;
export type Live = Omit<Extract<ControlMessage, { type: 'LIVE' }>, 'type'>;
export type Result = Extract<ControlMessage, { type: 'RESULT' }>;
