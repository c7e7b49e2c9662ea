import type { Defect } from '../base/background.js';
import type { FailureCode } from '../base/error-catalog.js';
import type { HandoverError } from '../base/errors.js';
import type { RemovedListener } from '../control/removed-listeners.js';
import type { StayedCounts } from '../runtime/worker-messages.js';
import type { Phase } from '../status/phases.js';

export interface SupervisorEvents {
  /** Root has become the user of the settings, for good. Nothing without a user, or when it was not root. */
  user: [];
  /** Which one this instance is: 1 for a first one, the incumbent's plus 1 for a successor. */
  generation: [generation: number];
  /** A step of the life of this instance (see PHASES). `ms`: how long `from` took; `listeners`: how many it holds. */
  phase: [step: { from: Phase; to: Phase; ms: number; listeners: number }];
  /** A successor has booted its programs and waits for the listeners of `incumbent` (a pid). */
  waiting: [wait: { generation: number; incumbent: number; ms: number }];
  /** It accepts connections on `listeners` (their keys) and is the main process, `ms` after its start. */
  serving: [instance: { generation: number; listeners: string[]; ms: number }];
  /** A listener (its key) that the incumbent had and no program asked for is closed. */
  removed: [listener: string];
  /** A successor that has waited is taken. */
  taken: [successor: WaitingSuccessor];
  /** A successor that has waited is not taken: the files of the program are newer. It ends. */
  stale: [successor: WaitingSuccessor];
  /** This incumbent has started a successor (its pid). */
  successor: [pid: number];
  /**
   * This incumbent has handed over and drains. `gapMs`: from COMMIT to LIVE. Of our listeners the successor has `kept` some and
   * left out (`removed`) others; `added` are its own.
   */
  handedOver: [handover: { successor: number; gapMs: number; kept: number; added: number; removed: number }];
  /** A dry run went as far as READY: `successor` (its pid) could take over. */
  rehearsed: [successor: number];
  /** The successor is on probation for `ms`: until then this incumbent can take the service back. */
  probation: [trial: { successor: number; ms: number }];
  /** Its probation has failed, or a user has asked for it: this incumbent serves again. */
  rolledBack: [reason: HandoverError];
  /** This successor has passed its probation; `early`: it is over because it stops or is upgraded. */
  settled: [{ early: boolean }];
  /** It has copies of another program's listeners: keys of those that it serves on, and of those that it has let go. */
  adopted: [adoption: { from: string; pid: number; stop: string; kept: readonly string[]; left: readonly string[] }];
  /** A hand-over did not happen; this incumbent serves on. */
  rejected: [reason: HandoverError];
  /**
   * A worker has ended by itself; it is started again after `inMs`, or not any more (null: it drained, and what it still had is
   * lost). `stderr`: its last lines there.
   */
  workerExit: [worker: WorkerExit];
  /** A process that a worker's program has started, and that served or was to, has ended by itself. `text`: which, and how. */
  childExit: [text: string];
  workerRestart: [worker: { service: string; index: number; pid: number }];
  /** Its programs were sent a signal, one process a worker. */
  signalled: [sent: { signal: NodeJS.Signals; workers: number }];
  /** It stops gracefully, without a successor. */
  stopping: [];
  /** While it drains, every few seconds at least. `leftMs`: until the rest is closed by force. */
  draining: [progress: { connections: number; leftMs: number }];
  /**
   * `forced`: connections that had to be closed by force; `ended`: by themselves; `moved`: they go on in the other generation; `stayed`:
   * those that could not move, by reason.
   */
  drained: [drain: { ms: number; forced: number; ended: number; moved: number; stayed: StayedCounts }];
  ended: [end: Ended];
  /**
   * Code of Motya has failed unexpectedly, in this instance or in another one of the same process; the instance goes on. While it
   * drains or stops, what it waits for may never come: end the process then (see {@link Supervisor.cannotEnd}).
   */
  defect: [defect: Defect];
  /** Something odd that changes nothing: a strange peer, a busy worker. `event` names the kind. */
  warning: [warning: { event: string; text: string; fields: object }];
}

export interface WaitingSuccessor {
  readonly pid: number;
  /** ms since it was started; null: it has not told yet. */
  readonly ms: number | null;
}

export interface WorkerExit {
  readonly service: string;
  readonly index: number;
  readonly pid: number;
  readonly reason: string;
  /** Of the error, where a worker could not be started again; else null. */
  readonly code: FailureCode | null;
  readonly inMs: number | null;
  readonly stderr: readonly string[];
}

export interface Ended {
  readonly reason: 'stopped' | 'handed-over' | 'rolled-back';
  /** Connections that had to be closed by force. */
  readonly forced: number;
}

/** What {@link Supervisor.upgrade} resolves with. */
export interface Upgraded {
  /** The successor. */
  readonly pid: number;
  readonly generation: number;
  /** ms from COMMIT to LIVE; null for a dry run. */
  readonly gapMs: number | null;
  /** ms for which it is on probation from now on. */
  readonly probationMs: number;
  /** Listeners that the new version has not asked for until now, without those that the settings name. */
  readonly removed: readonly RemovedListener[];
  /** Resolves at the end of the probation: with null, or with the reason why this instance serves again. Never rejects. */
  readonly settled: Promise<HandoverError | null>;
}

export interface UpgradeOptions {
  /** As far as READY, then back. */
  readonly dryRun?: boolean;
  /** Listeners that the new version does not ask for may end though clients still come to them. */
  readonly allowRemoved?: boolean;
  /** When no successor waits: `start` one after a short grace, `now` without it, or only `wait`. Default: the settings' onQuit. */
  readonly mode?: 'start' | 'now' | 'wait';
}
