import type { Adopt, HandOver } from './handed-over.js';

/** What `motya/worker` shows of the runtime. */
export interface WorkerState {
  readonly service: string;
  readonly workerIndex: number;
  readonly generation: number;
  ready(): void;
  readonly drainCallbacks: Set<DrainCallback>;
  /** @returns takes it back */
  onHandover(give: () => unknown, undo?: () => unknown): () => void;
  inherited(): Promise<unknown[]>;
  /** @returns whether the socket is a connection of a server that has its listener from the supervisor */
  stay(socket: unknown): boolean;
  /** @returns whether it may go */
  handOver(socket: unknown, handOver: HandOver): boolean;
  /** @returns takes it back */
  onAdopt(kind: string, callback: Adopt): () => void;
}

export interface DrainInfo {
  /** From when on the connections that are left are closed: ms since the epoch, as `Date.now()`. Of kinds with times of their own, the last. */
  readonly deadline: number;
  /** The same of each kind: requests, streamed responses, upgraded sockets, other TCP. */
  readonly deadlines: {
    readonly http: number;
    readonly streams: number;
    readonly webSockets: number;
    readonly tcp: number;
  };
}

/** Called once, when the worker begins to drain. The drain lasts until the promise settles, or until the deadline. */
export type DrainCallback = (info: DrainInfo) => void | Promise<void>;

/** On the global object: the program may import another copy of the package than the one that started it. */
const WORKER_STATE = Symbol.for('motya.worker');
type Global = { [WORKER_STATE]?: WorkerState };

export const workerState = (): WorkerState | undefined => (globalThis as Global)[WORKER_STATE];

export function setWorkerState(state: WorkerState): void {
  Object.defineProperty(globalThis, WORKER_STATE, { value: state });
}
