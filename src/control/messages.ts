import { bool, Codec, int, list, type MessageOf, nullable, oneOf, optional, record, text } from '../codec.js';

/** What commands (status, upgrade, stop) and a waiting successor say to the main process over its control socket. */

const worker = record({
  pid: nullable(int),
  index: int,
  state: oneOf('starting', 'ready', 'draining', 'restarting', 'ended'),
  restarts: int,
  connections: int,
});
const service = record({ name: text, workers: list(worker) });
const listener = record({
  key: text,
  service: nullable(text),
  backlog: int,
  inherited: bool,
  declared: bool,
  /** Connections that wait to be accepted; null where the kernel does not tell (unix, udp). */
  waiting: nullable(int),
});
const draining = record({ pid: int, generation: int, connections: int, left: int });
const outcome = record({ ok: bool, code: text, text, at: text });

const shapes = {
  // to the main process
  /** A successor has started and waits. Answered by INSTANCE and PATHS; the connection stays open and tells of GONE. */
  WATCH: { pid: int },
  STATUS: {},
  /** Start a successor and hand over. Answered by PROGRESS, then RESULT. */
  UPGRADE: { dryRun: bool },
  STOP: { now: bool },

  // from the main process
  INSTANCE: { pid: int, generation: int },
  /** The unix paths that the instance listens on, in pieces; the last one says so. */
  PATHS: { paths: list(text), last: bool },
  /** The main process is about to end without a hand-over because somebody stopped it. */
  GONE: { text },
  SUMMARY: {
    name: text,
    pid: int,
    generation: int,
    version: text,
    phase: text,
    uptime: int,
    services: list(service),
    draining: list(draining),
    lastUpgrade: nullable(outcome),
    pidfile: text,
    upgradeSocket: text,
  },
  /** Follows SUMMARY, in pieces. */
  LISTENERS: { listeners: list(listener), last: bool },
  PROGRESS: { phase: text, ms: int },
  RESULT: { ok: bool, code: text, text, pid: optional(int), generation: optional(int), gapMicros: optional(int) },
} as const;

export const controlCodec = new Codec(shapes);
export type ControlShapes = typeof shapes;
export type ControlMessage = MessageOf<ControlShapes>;
export type Summary = Omit<Extract<ControlMessage, { type: 'SUMMARY' }>, 'type'>;
export type ListenerStatus = Extract<ControlMessage, { type: 'LISTENERS' }>['listeners'][number];
export type WorkerStatus = Summary['services'][number]['workers'][number];
export type Result = Extract<ControlMessage, { type: 'RESULT' }>;
