import type { FailureCode } from '../base/error-catalog.js';
import type { Details } from '../base/errors.js';
import type { Drained } from './drained.js';
import type { Worker } from './worker.js';

export interface ServiceEvents {
  /**
   * A worker has ended by itself and will be started again in `inMs`; null: it will not, for the service drains. `code`: of the error,
   * where it could not be started again.
   */
  crash: [worker: Worker, reason: string, inMs: number | null, code: FailureCode | null];
  /** `what` says where, and what to do about it; see {@link Worker}. */
  trouble: [
    kind: 'denied' | 'exhausted' | 'strayed' | 'outside' | 'silent',
    worker: { pid: number; index: number },
    what: string,
    /** What `what` says, for programs. */
    facts: Details,
  ];
  /** A process that the program of a worker has started, and that served or was to, has ended by itself. `what`: in words. */
  childCrash: [worker: { pid: number; index: number }, what: string];
  restart: [worker: { pid: number; index: number }];
  /** A worker's connections have gone: how many by themselves, which by force. */
  drained: [drained: Drained];
}
