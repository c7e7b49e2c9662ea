import { inBackground } from '../base/background.js';
import type { Channel } from '../base/channel.js';
import type { FailureCode } from '../base/error-catalog.js';
import { codeOf, detailFields, MotyaError, reasonOf } from '../base/errors.js';
import { REASON_LENGTH } from '../base/limits.js';
import type { PeerCredentials } from '../base/os/native.js';
import { PrivateSocket } from '../base/os/private-socket.js';
import { nameOf, PASSABLE } from '../base/os/signal-names.js';
import { count } from '../base/units.js';
import type { Overview, Status } from '../status/status-document.js';
import type { ControlMessage, ControlShapes, Live, Result, Waited, Watch } from './control-messages.js';
import { ControlPeers } from './control-peers.js';

/** UTF-16 units of one piece of a report: what a text of a message may have (codec.ts). */
const REPORT_PIECE = 4_096;

/** What `motya signal` may send. */
const SIGNALS = PASSABLE.map(nameOf);
/** Paths in one message: far below MESSAGE_BYTES with the longest of them. */
const PATHS_PER_MESSAGE = 100;

/** Reports of an upgrade to its caller. `live` null: the caller wants the result at LIVE, not after the probation. */
export interface UpgradeProgress {
  progress(phase: string, ms: number, waited?: Waited): void;
  readonly live: ((live: Live) => void) | null;
}

/** What commands may ask of an instance. */
export interface CommandTarget {
  readonly generation: number;
  status(): Promise<Status>;
  overview(): Promise<Overview>;
  /** The files of all unix listeners. */
  unixPaths(): string[];
  /** Of all listeners: key, and name of the service that uses it, or empty. */
  listenerServices(): [key: string, service: string][];
  /** Starts a successor, or takes the one that waits, and hands over. Progress is told phase by phase; never rejects. */
  upgrade(options: { dryRun: boolean; allowRemoved: boolean }, told: UpgradeProgress): Promise<Omit<Result, 'type'>>;
  /** Ends the probation of this successor: the incumbent serves again. Never rejects. */
  rollBack(): Promise<Omit<Result, 'type'>>;
  /** Sends a signal to the programs; returns to how many processes. */
  signal(signal: NodeJS.Signals): number;
  stop(options: { now: boolean; once: boolean }): void;
  /** Why a successor is not wanted that announces itself now, or null. `startedAt`: of its process (performance.now()). */
  lateness(startedAt: number): string | null;
  warn(text: string, fields: object): void;
}

/** A successor that has announced itself, and since when it waits (ISO 8601). */
export interface Watcher {
  readonly pid: number;
  readonly since: string;
  /** When its process was started (performance.now()), and what from; null: it is about to be. */
  readonly started: { readonly at: number; readonly program: StartedFrom } | null;
}

type StartedFrom = NonNullable<Watch['started']>['program'];

/** Why a successor is to wait no more. `code`: of its end. */
interface Dismissal {
  readonly text: string;
  readonly code: FailureCode;
}

/** The main process's end of the control socket. */
export class ControlServer {
  #socket: PrivateSocket;
  readonly #instance: CommandTarget;
  readonly #peers = new ControlPeers();
  #dismissal: Dismissal | null = null;
  readonly #watchers = new Map<Channel<ControlShapes>, Watcher>();

  /** Listens, but not yet at its path: see {@link publish}. @throws {MotyaError} */
  constructor(path: string, instance: CommandTarget) {
    this.#instance = instance;
    this.#socket = this.#listen(path);
  }

  #listen(path: string): PrivateSocket {
    const instance = this.#instance;
    return new PrivateSocket(path, {
      connection: (fd) => this.#accept(fd),
      refused: (peer: PeerCredentials) => {
        instance.warn(`a process of user ${peer.uid} was refused on the control socket`, {
          socket: 'control',
          ...peer,
        });
      },
      failed: (error) => instance.warn(`a connection to the control socket was not accepted: ${reasonOf(error)}`, {}),
    });
  }

  /** Answers at another path from here on; connections that are open stay. @throws {MotyaError} it answers nowhere */
  moveTo(path: string): void {
    this.#socket.close();
    this.#socket = this.#listen(path);
    this.#socket.publish();
  }

  /** Becomes the one that answers at the path. */
  publish(): void {
    this.#socket.publish();
  }

  get isPublished(): boolean {
    return this.#socket.isPublished;
  }

  /** The path has been removed under it. */
  get isLost(): boolean {
    return this.#socket.isLost;
  }

  /** Answers at its path again. @throws {MotyaError} */
  restore(): void {
    this.#socket.restore();
  }

  /** A successor that waits for us, or null. */
  get watcher(): Watcher | null {
    return this.#watchers.values().next().value ?? null;
  }

  /** All of them: one waits, others may be about to hear that it does. */
  get watchers(): Watcher[] {
    return [...this.#watchers.values()];
  }

  /** Tells waiting successors that no hand-over will come; and those that still come, when this is the end. */
  dismissWatchers(
    text: string,
    { forGood = false, code = 'ERR_MOTYA_INCUMBENT_STOPPED' }: { forGood?: boolean; code?: FailureCode } = {},
  ): void {
    const dismissal = { text, code };
    if (forGood) this.#dismissal = dismissal;
    for (const channel of [...this.#watchers.keys()]) this.#dismiss(channel, dismissal);
  }

  /** Tells one of them. */
  dismiss(pid: number, dismissal: Dismissal): void {
    for (const [channel, watcher] of [...this.#watchers]) if (watcher.pid === pid) this.#dismiss(channel, dismissal);
  }

  /** After {@link dismissWatchers} for good, which turned out otherwise: successors may wait again. */
  admitWatchers(): void {
    this.#dismissal = null;
  }

  #dismiss(channel: Channel<ControlShapes>, dismissal: Dismissal): void {
    channel.send({ type: 'GONE', ...dismissal });
    channel.end();
    this.#watchers.delete(channel);
  }

  /** The socket goes; connections that are open stay until {@link disconnect}, so that their callers hear the end. */
  close(): void {
    this.#socket.close();
  }

  disconnect(): void {
    this.#peers.end();
  }

  #accept(fd: number): void {
    const channel = this.#peers.admit(fd);
    if (channel === null) return;
    channel.on('message', (message: ControlMessage) => this.#receive(channel, message));
    channel.on('close', (error) => {
      this.#watchers.delete(channel);
      if (error !== null) this.#instance.warn(`a control connection was closed: ${error.message}`, {});
    });
    channel.open();
  }

  #receive(channel: Channel<ControlShapes>, message: ControlMessage): void {
    switch (message.type) {
      case 'WATCH':
        this.#watch(channel, message);
        return;
      case 'STATUS':
        inBackground('the status', this.#report(channel));
        return;
      case 'UPGRADE':
        inBackground('the answer to an upgrade', this.#upgrade(channel, message));
        return;
      case 'ROLLBACK':
        inBackground('the answer to a rollback', this.#rollBack(channel));
        return;
      case 'SIGNAL':
        channel.send({ type: 'RESULT', ...this.#signal(message.signal) });
        return;
      case 'STOP':
        this.#instance.stop({ now: message.now, once: message.once });
        return;
      default:
        channel.close();
    }
  }

  #signal(name: string): Omit<Result, 'type'> {
    const signal = SIGNALS.find((one) => one === name);
    if (signal === undefined)
      return rejection(new MotyaError('ERR_MOTYA_SIGNAL', `${name} cannot be sent to programs`));
    const sent = this.#instance.signal(signal);
    return { ok: true, code: 'SIGNALLED', text: `${signal} was sent to ${count(sent, 'worker')}` };
  }

  #watch(channel: Channel<ControlShapes>, { started }: Watch): void {
    const known = started === null ? null : { at: performance.now() - started.age, program: started.program };
    const late = known === null ? null : this.#instance.lateness(known.at);
    const dismissal = this.#dismissal ?? (late === null ? null : { text: late, code: 'ERR_MOTYA_SUCCESSOR_LATE' });
    if (dismissal !== null) {
      this.#dismiss(channel, dismissal);
      return;
    }
    this.#watchers.set(channel, {
      pid: channel.peer.pid,
      since: new Date().toISOString(),
      started: known,
    });
    channel.send({ type: 'INSTANCE', pid: process.pid, generation: this.#instance.generation });
    const none = { keys: [], services: [] };
    for (const { part } of parts(this.#instance.unixPaths()))
      channel.send({ type: 'PATHS', paths: part, ...none, last: false });
    for (const { part, last } of parts(this.#instance.listenerServices())) {
      const [keys, services] = [0, 1].map((at) => part.map((pair) => pair[at] as string));
      channel.send({ type: 'PATHS', paths: [], keys: keys ?? [], services: services ?? [], last });
    }
  }

  async #report(channel: Channel<ControlShapes>): Promise<void> {
    try {
      const json = JSON.stringify(await this.#instance.status());
      for (let start = 0; start < json.length; start += REPORT_PIECE) {
        const end = start + REPORT_PIECE;
        channel.send({ type: 'REPORT', piece: json.slice(start, end), last: end >= json.length });
      }
    } catch (error) {
      // A status that cannot be told must not end what it is about.
      this.#instance.warn(`the status cannot be sent: ${reasonOf(error)}`, {});
      channel.close();
    }
  }

  async #rollBack(channel: Channel<ControlShapes>): Promise<void> {
    channel.send({ type: 'RESULT', ...(await this.#instance.rollBack()) });
  }

  async #upgrade(
    channel: Channel<ControlShapes>,
    { dryRun, settled, allowRemoved }: { dryRun: boolean; settled: boolean; allowRemoved: boolean },
  ): Promise<void> {
    const progress = (phase: string, ms: number, waited: Waited = {}): void =>
      channel.send({ type: 'PROGRESS', phase, ms: Math.round(ms), ...waited });
    const live = settled ? (live: Live): void => channel.send({ type: 'LIVE', ...live }) : null;
    const result = await this.#instance.upgrade({ dryRun, allowRemoved }, { progress, live });
    channel.send({ type: 'RESULT', ...result });
  }
}

/** At least one part, so that an empty list is told too. */
function* parts<T>(all: readonly T[]): Generator<{ part: T[]; last: boolean }> {
  let start = 0;
  do {
    const end = start + PATHS_PER_MESSAGE;
    yield { part: all.slice(start, end), last: end >= all.length };
    start = end;
  } while (start < all.length);
}

/** What a failed upgrade answers. */
export function rejection(error: unknown): Omit<Result, 'type'> {
  return {
    ok: false,
    code: codeOf(error),
    text: reasonOf(error).slice(0, REASON_LENGTH),
    ...detailFields(error),
  };
}
