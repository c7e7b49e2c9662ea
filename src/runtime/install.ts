import { inBackground } from '../base/background.js';
import { Channel, type FdBag } from '../base/channel.js';
import { isSystemError } from '../base/errors.js';
import { LoopDelay, toMicros } from '../base/loop-delay.js';
import { native } from '../base/os/native.js';
import { Gate } from './accept-gate.js';
import { AnswerCount } from './answer-count.js';
import { passOn } from './branch-env.js';
import { watchChildren } from './children.js';
import { isClusterWorker, listenAsClusterWorker, watchForks } from './cluster.js';
import { hookConnect } from './connect-hook.js';
import { Connections } from './connections.js';
import { hookBind } from './dgram-hook.js';
import { Drain } from './drain-connections.js';
import { Exhaustion } from './exhaustion.js';
import { Inspector } from './inspector.js';
import { hookListen } from './listen-hook.js';
import { Ordinals } from './ordinals.js';
import { OutputGuard } from './output-guard.js';
import { offerProcessSend } from './process-send.js';
import { Readiness } from './readiness.js';
import { watchTicketKeys } from './server-ticket-keys.js';
import { guardSpawn } from './spawn-guard.js';
import { ProgramState } from './state-transfer.js';
import { SupervisorLink } from './supervisor-link.js';
import { guardSocketPaths } from './unlink-guard.js';
import {
  type ConnectionCounts,
  WORKER_CHANNEL_FD,
  type WorkerMessage,
  type WorkerRole,
  type WorkerShapes,
  workerCodec,
} from './worker-messages.js';
import { setWorkerState, type WorkerState } from './worker-state.js';

/** ms that a worker whose supervisor died gives its connections: nobody is left to set a deadline; 30 s ends most requests. */
const ORPHAN_DRAIN_MS = 30_000;

/** Makes this process a worker, before its program runs; unless another has inherited the role than whom the supervisor started. */
export function startRuntime(role: WorkerRole): void {
  if (!hasChannel()) return;
  // Children of the program must not hold the channel open, or the supervisor would not see the worker's end.
  native.setCloexec(WORKER_CHANNEL_FD);
  const { state, link, readiness } = begin(new Channel(WORKER_CHANNEL_FD, workerCodec), role, { isBranch: false });
  setWorkerState(state);
  offerProcessSend(state.ready);
  guardSocketPaths((path) => link.owns(path));
  watchForks(readiness, (pid, reason) => link.send({ type: 'CHILD_END', pid, reason }));
  passOn(role);
  guardSpawn(role.entry);
}

/**
 * Makes this process, which the program of a worker has started, a part of that worker. It accepts once the supervisor says so.
 * @returns null: there is no supervisor of this user at that name; plain Node, then
 */
export function joinWorker(role: WorkerRole): Joined | null {
  let fd: number;
  try {
    fd = native.connectPath(`\0${role.branches}`);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return null;
  }
  const channel = new Channel(fd, workerCodec);
  // A supervisor talks to its own user only; and once it has ended, any user can take the name (unix(7)).
  if (channel.peer.uid !== process.geteuid?.()) {
    channel.close();
    return null;
  }
  const { state, link } = begin(channel, { ...role, held: true }, { isBranch: true });
  listenAsClusterWorker();
  return { state, owns: (path) => link.owns(path) };
}

/** What {@link joinWorker} has made of the process. */
export interface Joined {
  readonly state: WorkerState;
  /** Whether the socket at this path is a listener of some generation. */
  owns(path: string): boolean;
}

function begin(
  channel: Channel<WorkerShapes>,
  role: WorkerRole,
  { isBranch }: { isBranch: boolean },
): { state: WorkerState; link: SupervisorLink; readiness: Readiness } {
  const link = new SupervisorLink(channel);
  const gate = new Gate(!role.held);
  const connections = new Connections();
  // The primary of a cluster says it for its workers.
  const readiness = new Readiness(role.ready, () => isClusterWorker() || link.send({ type: 'READY' }));
  const ordinals = new Ordinals();
  const programState = new ProgramState(link, role.held);
  const state: WorkerState = {
    service: role.service,
    workerIndex: role.index,
    generation: role.generation,
    ready: () => readiness.signal(),
    drainCallbacks: new Set(),
    onHandover: (give, undo) => programState.onHandover(give, undo),
    inherited: () => programState.inherited(),
  };

  hookListen({ link, gate, exhaustion: new Exhaustion(gate, link), connections, readiness, ordinals });
  hookConnect({ link, gate });
  hookBind({ link, gate, readiness, ordinals });
  watchTicketKeys();
  process.prependListener('exit', () => {
    gate.ending = true;
  });

  const output = role.tagged ? new OutputGuard() : null;
  const inspector = Inspector.ofThisProcess({ insists: !isBranch || isClusterWorker() });
  watchChildren((pid) => link.send({ type: 'CHILD_DONE', pid }));
  const life = new WorkerLife(link, gate, connections, state, programState, inspector);
  channel.on('message', (message, fds) => {
    link.receive(message, fds);
    life.receive(message, fds);
  });
  channel.on('close', () => {
    // First: the program's onDrain callbacks, which the other one calls, may write.
    output?.orphaned();
    life.orphaned();
  });
  channel.open();
  return { state, link, readiness };
}

/** What Node gives to a child on this fd is no SOCK_SEQPACKET: a stream (fork()), or what the child has opened itself. */
function hasChannel(): boolean {
  try {
    return native.describe(WORKER_CHANNEL_FD).type === 'seqpacket';
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return false;
  }
}

/** What the supervisor tells the worker to do. */
class WorkerLife {
  readonly #link: SupervisorLink;
  readonly #gate: Gate;
  readonly #connections: Connections;
  readonly #state: WorkerState;
  readonly #programState: ProgramState;
  readonly #loopDelay = new LoopDelay();
  readonly #answers = new AnswerCount();
  readonly #inspector: Inspector | null;
  #drain: Drain | null = null;
  #drained: { readonly forced: ConnectionCounts; readonly ended: number } | null = null;
  /** Of the question that is answered when nothing is open. */
  #drainId: number | null = null;
  /** The supervisor that has paused us may be stopped: clients should not wait for it. */
  #lease: NodeJS.Timeout | undefined;
  #orphan = false;

  constructor(
    link: SupervisorLink,
    gate: Gate,
    connections: Connections,
    state: WorkerState,
    programState: ProgramState,
    inspector: Inspector | null,
  ) {
    this.#inspector = inspector;
    this.#link = link;
    this.#gate = gate;
    this.#connections = connections;
    this.#state = state;
    this.#programState = programState;
  }

  receive(message: WorkerMessage, fds: FdBag): void {
    switch (message.type) {
      case 'PAUSE':
        clearTimeout(this.#lease);
        if (message.lease !== undefined) this.#lease = setTimeout(() => this.#accept(), message.lease).unref();
        this.#gate.pause({ except: message.except, isForGood: message.lease === undefined });
        this.#link.send({ type: 'PAUSED', id: message.id });
        break;
      case 'ACCEPT':
        clearTimeout(this.#lease);
        this.#accept();
        this.#link.send({ type: 'ACCEPTING', id: message.id });
        break;
      case 'GIVE':
        inBackground('handing state on', this.#programState.give(message.id));
        break;
      case 'INHERIT':
        for (let index = 0; index < fds.length; index++) this.#inherit(fds.take(index));
        break;
      case 'DRAIN':
        this.#drainId = message.id;
        this.#startDrain(message.timeout);
        this.#tellDrained();
        break;
      case 'SHORTEN':
        this.#drain?.shorten(message.timeout);
        break;
      case 'FORCE':
        this.#startDrain(0).force();
        break;
      case 'COUNT':
        if (message.answers) this.#answers.read();
        this.#count(message.id, message.delay === true);
        break;
      case 'COUNT_LISTENERS':
        this.#link.send({
          type: 'LISTENER_COUNTS',
          id: message.id,
          listeners: this.#gate.counts(new Set(message.keys)),
        });
        break;
      case 'INSPECTOR':
        if (message.open) this.#inspector?.open();
        else this.#inspector?.close();
        break;
      case 'OUTPUT':
        redirectOutput(fds);
        break;
    }
  }

  /** The supervisor is gone, and nobody could tell this worker to stop: it must not go on taking connections. */
  orphaned(): void {
    this.#orphan = true;
    this.#link.lost();
    this.#gate.vacate();
    this.#inspector?.close();
    const drain = this.#startDrain(ORPHAN_DRAIN_MS);
    if (this.#drained !== null) terminate();
    else setTimeout(() => drain.force(), ORPHAN_DRAIN_MS).unref();
  }

  #accept(): void {
    this.#programState.undo();
    // Whoever awaits it goes on before the loop turns, and with that before the first connection.
    this.#programState.accepts();
    this.#gate.accept();
  }

  #inherit(fd: number): void {
    try {
      this.#programState.inherit(fd);
    } finally {
      native.close(fd);
    }
  }

  #count(id: number, delay: boolean): void {
    const measured = delay ? this.#loopDelay.read() : null;
    this.#link.send({
      type: 'COUNTS',
      id,
      connections: this.#connections.counts(),
      answers: this.#answers.current ?? undefined,
      delay: measured === null ? undefined : toMicros(measured),
    });
  }

  #startDrain(timeout: number): Drain {
    if (this.#drain !== null) return this.#drain;
    // What ends the worker is the supervisor's SIGTERM, after DRAINED; not that nothing is left to do.
    this.#link.hold();
    this.#gate.giveUp();
    const drain = new Drain(this.#connections, (forced, ended) => {
      this.#drained = { forced, ended };
      this.#tellDrained();
      if (this.#orphan) terminate();
    });
    this.#drain = drain;
    drain.start([...this.#state.drainCallbacks], timeout);
    return drain;
  }

  #tellDrained(): void {
    if (this.#drained === null || this.#drainId === null) return;
    this.#link.send({ type: 'DRAINED', id: this.#drainId, ...this.#drained });
    this.#drainId = null;
  }
}

/** Any interval: it is cleared by the signal. */
const LONG_MS = 1_000_000;

/** As a supervisor would: the program's own clean-up runs. */
function terminate(): void {
  if (process.listenerCount('SIGTERM') > 0) {
    // The signal arrives through the loop, which would not wait for it if nothing else is left to do.
    const waiting = setInterval(() => {}, LONG_MS);
    process.once('SIGTERM', () => clearInterval(waiting));
  }
  process.kill(process.pid, 'SIGTERM');
}

function redirectOutput(fds: FdBag): void {
  const fd = fds.take(0);
  native.redirect(fd, 1);
  native.redirect(fd, 2);
  native.close(fd);
}
