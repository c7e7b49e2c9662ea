import { inBackground } from '../base/background.js';
import { allKinds, type PerKind } from '../base/drain-kinds.js';
import { LoopDelay, toMicros } from '../base/loop-delay.js';
import { native } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import type { ReceivedFds } from '../base/received-fds.js';
import type { Gate } from './accept-gate.js';
import { AnswerCount } from './answer-count.js';
import type { Connections } from './connections.js';
import { Drain, type DrainOutcome } from './drain-connections.js';
import { countKinds } from './drain-kind.js';
import type { Adopters } from './handed-over.js';
import type { Inspector } from './inspector.js';
import { MoveReceiver } from './move-receiver.js';
import { canMoveConnections } from './move-self-test.js';
import { MoveSender } from './move-sender.js';
import { isHttpServer } from './node-internals.js';
import type { ProgramState } from './state-transfer.js';
import type { SupervisorLink } from './supervisor-link.js';
import type { WorkerMessage } from './worker-messages.js';
import type { WorkerState } from './worker-state.js';

/** ms that a worker whose supervisor died gives its connections: no process is left to set a deadline; 30 s ends most requests. */
const ORPHAN_DRAIN_MS = 30_000;

/** What the supervisor steers. */
export interface WorkerParts {
  readonly link: SupervisorLink;
  readonly gate: Gate;
  readonly connections: Connections;
  readonly adopters: Adopters;
  readonly state: WorkerState;
  readonly programState: ProgramState;
  /** Null: the process has none with a port of its own. */
  readonly inspector: Inspector | null;
}

/** What the supervisor tells the worker to do. */
export class WorkerLife {
  readonly #parts: WorkerParts;
  readonly #loopDelay = new LoopDelay();
  readonly #answers = new AnswerCount();
  #drain: Drain | null = null;
  #moves: MoveSender | null = null;
  readonly #receiver: MoveReceiver;
  #drained: DrainOutcome | null = null;
  /** Of the question that is answered when nothing is open. */
  #drainId: number | null = null;
  /** The supervisor that has paused us may be stopped: clients should not wait for it. */
  #lease: NodeJS.Timeout | undefined;
  #orphan = false;

  constructor(parts: WorkerParts) {
    this.#parts = parts;
    this.#receiver = new MoveReceiver(parts);
  }

  receive(message: WorkerMessage, fds: ReceivedFds): void {
    switch (message.type) {
      case 'PAUSE':
        clearTimeout(this.#lease);
        if (message.lease !== undefined) this.#lease = setTimeout(() => this.#accept(), message.lease).unref();
        this.#parts.gate.pause({ except: message.except, isForGood: message.lease === undefined });
        this.#parts.link.send({ type: 'PAUSED', id: message.id });
        break;
      case 'ACCEPT':
        clearTimeout(this.#lease);
        this.#accept();
        this.#parts.link.send({ type: 'ACCEPTING', id: message.id });
        break;
      case 'GIVE':
        inBackground('handing state on', this.#parts.programState.give(message.id));
        break;
      case 'INHERIT':
        for (let index = 0; index < fds.length; index++) this.#inherit(fds.take(index));
        break;
      case 'DRAIN':
        this.#drainId = message.id;
        this.#startDrain(message.times, message.move);
        this.#tellDrained();
        break;
      case 'MOVE':
        this.#receiver.receive(message, fds);
        break;
      case 'MOVED':
        this.#moves?.moves(message.id, message.room);
        break;
      case 'SHORTEN':
        this.#drain?.shorten(message.timeout);
        break;
      case 'FORCE':
        this.#startDrain(allKinds(0)).force();
        break;
      case 'COUNT':
        if (message.answers) this.#answers.read();
        this.#count(message.id, message.delay === true);
        break;
      case 'COUNT_LISTENERS':
        this.#parts.link.send({
          type: 'LISTENER_COUNTS',
          id: message.id,
          listeners: this.#parts.gate.counts(new Set(message.keys)),
        });
        break;
      case 'INSPECTOR':
        if (message.open) this.#parts.inspector?.open();
        else this.#parts.inspector?.close();
        break;
      case 'OUTPUT':
        redirectOutput(fds);
        break;
    }
  }

  /** The supervisor is gone, so no process can tell this worker to stop: it must not go on accepting connections. */
  orphaned(): void {
    this.#moves?.takeBack();
    this.#orphan = true;
    this.#parts.link.lost();
    this.#parts.gate.vacate();
    this.#parts.inspector?.close();
    const drain = this.#startDrain(allKinds(ORPHAN_DRAIN_MS));
    drain.shorten(ORPHAN_DRAIN_MS);
    if (this.#drained !== null) terminate();
    else setTimeout(() => drain.force(), ORPHAN_DRAIN_MS).unref();
  }

  #accept(): void {
    this.#parts.programState.undo();
    // The code that awaits it continues before the loop turns, and with that before the first connection.
    this.#parts.programState.accepts();
    this.#parts.gate.accept();
  }

  #inherit(fd: number): void {
    using _owned = new OwnedFds([fd]);
    this.#parts.programState.inherit(fd);
  }

  #count(id: number, delay: boolean): void {
    const measured = delay ? this.#loopDelay.read() : null;
    this.#parts.link.send({
      type: 'COUNTS',
      id,
      connections: this.#parts.connections.counts(),
      answers: this.#answers.current ?? undefined,
      delay: measured === null ? undefined : toMicros(measured),
      kinds: this.#drain === null ? undefined : countKinds(this.#parts.connections),
    });
  }

  /** `most`: connections with a MOVE; undefined: none may move. */
  #startDrain(times: PerKind<number>, most?: number): Drain {
    if (this.#drain !== null) return this.#drain;
    const { connections, link, gate, state } = this.#parts;
    const listeners = gate.connectionListeners;
    const mayMove = connections.hasHandOver || ([...listeners.keys()].some(isHttpServer) && canMoveConnections());
    if (most !== undefined && mayMove) {
      this.#moves = new MoveSender({ connections, link, most }, listeners, () => this.#drain?.check());
    }
    // What ends the worker is the supervisor's SIGTERM, after DRAINED; not that nothing is left to do.
    link.hold();
    gate.giveUp();
    const drained = (outcome: DrainOutcome): void => {
      this.#drained = outcome;
      this.#tellDrained();
      if (this.#orphan) terminate();
    };
    const drain = new Drain(connections, drained, this.#moves);
    this.#drain = drain;
    drain.start([...state.drainCallbacks], times);
    return drain;
  }

  #tellDrained(): void {
    if (this.#drained === null || this.#drainId === null) return;
    this.#parts.link.send({ type: 'DRAINED', id: this.#drainId, ...this.#drained });
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

function redirectOutput(fds: ReceivedFds): void {
  const fd = fds.take(0);
  native.fd.redirect(fd, 1);
  native.fd.redirect(fd, 2);
  native.fd.close(fd);
}
