import { constants } from 'node:os';
import { isSystemError, reasonOf } from '../base/errors.js';
import { PORT_PROBE_MS, RECONNECT_MS } from '../base/limits.js';
import type { Sandbox } from '../config/sandbox.js';
import { bindAdvice } from '../listeners/bind-advice.js';
import type { Ledger } from '../listeners/ledger.js';
import type { ListenRequest } from '../listeners/listen-request.js';
import type { Listener } from '../listeners/listener.js';
import { overlaps, overlapWith } from '../listeners/overlap.js';
import { placeholderFor } from '../listeners/placeholder.js';
import type { Obstacle, Refusal } from '../listeners/refusals.js';
import { nameOf } from '../listeners/request-names.js';
import { holderOf } from '../listeners/socket-users.js';

const SHUT: Refusal = { code: 'ECANCELED', errno: -constants.errno.ECANCELED, syscall: 'listen' };
const INVALID: Refusal = { code: 'EINVAL', errno: -constants.errno.EINVAL, syscall: 'bind' };

/** What asks for listeners: a worker, seen from the gate. */
export interface ListenRequester {
  readonly service: string;
  readonly pid: number;
  /** performance.now() of its readiness; null: it is not ready yet. */
  readonly readyAt: number | null;
  grant(id: number, listener: Listener): void;
  wait(id: number): void;
  /** It gets a socket of its own: the instance gives its listeners up, or is about to. */
  leavePlain(id: number): void;
  /**
   * It listens as far as it can tell. Its address overlaps that of `holder`: it is to close it again before it is ready. Null: it is
   * another generation's, and so are the clients.
   */
  lend(id: number, request: AddressRequest, holder: Listener | null): void;
  /** `listener`: the address that was asked for. `why`: what is in its way, where that can be told. */
  refuse(id: number, refusal: Refusal, listener: string, why: Obstacle | null): void;
}

export type AddressRequest = Exclude<ListenRequest, { kind: 'systemd' }>;

interface Asked {
  readonly requester: ListenRequester;
  readonly id: number;
  readonly request: ListenRequest;
  /** ms since it was ready. */
  readonly lateBy: number;
  /** performance.now() */
  readonly at: number;
}

/**
 * Between workers that ask for listeners and the ledger that has them. A successor's gate is shut until the incumbent's
 * listeners are here: what its programs ask for meanwhile is kept, in order.
 */
export class ListenGate {
  readonly #ledger: Ledger;
  readonly #waiting: Asked[] = [];
  readonly #requesters = new Map<number, ListenRequester>();
  #incumbents: ReadonlyMap<string, string> = new Map();
  readonly #othersPaths = new Set<string>();
  /** Keys of what the ledger had when the listeners were given up. */
  readonly #givenUp = new Set<string>();
  readonly #sandbox: Sandbox | null;
  #open: boolean;
  #held = false;
  #shut = false;
  #retryUntil = 0;
  #timer: NodeJS.Timeout | null = null;

  /** `sandbox`: what is asked for is replaced by its stand-in there. */
  constructor(ledger: Ledger, { open, sandbox = null }: { open: boolean; sandbox?: Sandbox | null }) {
    this.#ledger = ledger;
    this.#sandbox = sandbox;
    this.#open = open;
  }

  ask(requester: ListenRequester, id: number, wanted: ListenRequest): void {
    const request = this.#sandbox === null ? wanted : placeholderFor(wanted, this.#sandbox.directory);
    const lateBy = requester.readyAt === null ? 0 : Math.round(performance.now() - requester.readyAt);
    const asked = { requester, id, request, lateBy, at: performance.now() };
    this.#requesters.set(requester.pid, requester);
    // A session's port: waiting would end in the next generation.
    if (this.#held && requester.readyAt !== null && 'port' in request && request.port === 0) {
      requester.leavePlain(id);
      return;
    }
    // A worker that is started again while listeners change hands must not wait for what is here: clients would.
    const mayAnswer = this.isOpen || (this.#open && this.#ledger.find(requester.service, request) !== undefined);
    if (mayAnswer && this.#answer(asked)) return;
    this.#waiting.push(asked);
    requester.wait(id);
    if (this.isOpen) this.#tryAgain();
  }

  get isOpen(): boolean {
    return this.#open && !this.#held;
  }

  get isShut(): boolean {
    return this.#shut;
  }

  /** From here on what is to be bound waits. */
  hold(): void {
    this.#held = true;
  }

  /** The listeners are given up: a program that asks from here on is refused. */
  shut(): void {
    this.#shut = true;
    for (const { key } of this.#ledger.all()) this.#givenUp.add(key);
    this.open();
  }

  /** Answers what has waited, and from here on everything at once. */
  open(): void {
    this.#open = true;
    this.#held = false;
    const unanswered = this.#waiting.splice(0).filter((asked) => !this.#answer(asked));
    this.#waiting.push(...unanswered);
    if (unanswered.length > 0) this.#tryAgain();
  }

  /** For `ms` an address in use is taken for one that another generation is about to give up: a request for it waits. */
  awaitAddresses(ms: number): void {
    this.#retryUntil = Math.max(this.#retryUntil, performance.now() + ms);
  }

  /** Whole ms for which {@link awaitAddresses} still holds; 0: it does not. */
  get addressesAwaited(): number {
    return Math.max(0, Math.round(this.#retryUntil - performance.now()));
  }

  /** Paths on which another generation listens: the incumbent, whose listeners are not here yet, or our successor. */
  guardPaths(paths: readonly string[]): void {
    for (const path of paths) this.#othersPaths.add(path);
  }

  /** True: no program may unlink this path; it is some generation's listener. */
  owns(path: string): boolean {
    // In a sandbox every socket outside it belongs to another process, such as that of the same program in production.
    return this.#sandbox !== null || this.#othersPaths.has(path) || this.#ledger.owns(path);
  }

  /** The incumbent's listeners, by key, and the services that use them; none once this instance serves. */
  guardKeys(services: ReadonlyMap<string, string>): void {
    this.#incumbents = services;
  }

  /** Whether the incumbent serves the worker's own service on a TCP port, and the worker has not been given that listener. */
  isIncumbents({ service, pid }: ListenRequester, port: number): boolean {
    return [...this.#incumbents].some(
      ([key, owner]) =>
        owner === service && key.startsWith('tcp:') && portIn(key) === port && !this.#ledger.get(key)?.users.has(pid),
    );
  }

  /** A process has ended. @returns keys of the listeners that it had */
  forget(pid: number): string[] {
    const had = this.#ledger.removeUser(pid);
    this.#requesters.delete(pid);
    const rest = this.#waiting.filter(({ requester }) => requester.pid !== pid);
    this.#waiting.splice(0, this.#waiting.length, ...rest);
    return had;
  }

  /** Whether one of these processes has the listener. */
  isUsedBy(key: string, pids: readonly number[]): boolean {
    return pids.some((pid) => this.#ledger.get(key)?.users.has(pid));
  }

  /** The process that has the address that is in use, or one that overlaps it. */
  #adviceOn(code: string, request: ListenRequest): Obstacle | null {
    const text = bindAdvice(code, request, this.#ledger.owner);
    return text === null ? null : because(text);
  }

  #holderOf(request: ListenRequest): Obstacle | null {
    const keys = this.#ledger.all().map(({ key }) => key);
    return overlapWith(nameOf(request), keys) ?? holderOf(request);
  }

  #isGivenUp(request: AddressRequest): boolean {
    const name = nameOf(request);
    return [...this.#givenUp].some((key) => key === name || overlaps(name, key));
  }

  #tryAgain(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      if (this.isOpen) this.open();
    }, RECONNECT_MS);
  }

  /** True: it was lent; false: see {@link #answer}. @throws {SystemError} */
  #findOrBind({ requester, id, request, lateBy, at }: Asked): Listener | Refusal | boolean {
    const use = (): Listener | Refusal => this.#ledger.addUser(requester.service, requester.pid, request, lateBy);
    try {
      return use();
    } catch (error) {
      if (!isSystemError(error) || error.code !== 'EADDRINUSE' || request.kind !== 'tcp') throw error;
      const overlapping = this.#ledger.overlapping(request);
      const [holder] = overlapping;
      if (holder === undefined) throw error;
      if (overlapping.every((listener) => this.#ledger.isFree(listener))) {
        for (const listener of overlapping) this.#ledger.remove(listener, { unlink: true });
        // A copy that is on its way to another worker may keep the address bound for a moment.
        return performance.now() - at < PORT_PROBE_MS ? this.#soon(use) : use();
      }
      // A program that looks for a free port tries one address after the other. Those that the generation before, or another worker
      // of the same service, listens on are free as far as this program is concerned.
      const isOthers = ({ service, users }: Listener): boolean =>
        !users.has(requester.pid) && (service === null || service === requester.service);
      if (requester.readyAt !== null || !overlapping.every(isOthers)) throw error;
      // Another worker that looks for a port as well closes it in a moment, or is ready.
      const isProbed = ({ users }: Listener): boolean =>
        [...users].some((pid) => this.#requesters.get(pid)?.readyAt === null);
      if (overlapping.some(isProbed) && performance.now() - at < PORT_PROBE_MS) return false;
      requester.lend(id, request, holder);
      return true;
    }
  }

  /** False: not yet. @throws {SystemError} */
  #soon(use: () => Listener | Refusal): Listener | Refusal | false {
    try {
      return use();
    } catch (error) {
      if (!isSystemError(error) || error.code !== 'EADDRINUSE') throw error;
      return false;
    }
  }

  /** False: the address may become free in a moment. */
  #answer(asked: Asked): boolean {
    const { requester, id, request } = asked;
    if (this.#shut && request.kind !== 'systemd') {
      // A program that closes its server and listens again as before, for new settings say, must not fail while it drains.
      if (this.#isGivenUp(request)) requester.lend(id, request, null);
      // The kernel knows whose the address is.
      else requester.leavePlain(id);
      return true;
    }
    if (this.#shut) {
      requester.refuse(id, SHUT, nameOf(request), because('this generation has given up its listeners'));
      return true;
    }
    try {
      const answer = this.#findOrBind(asked);
      if (typeof answer === 'boolean') return answer;
      if ('fd' in answer) requester.grant(id, answer);
      else requester.refuse(id, answer, nameOf(request), because('another worker or service of this instance'));
    } catch (error) {
      if (!isSystemError(error)) {
        // A request that nothing can be bound to; it must not end the supervisor, and with it every other service.
        requester.refuse(id, INVALID, nameOf(request), because(reasonOf(error)));
        return true;
      }
      if (error.code === 'EADDRINUSE' && performance.now() < this.#retryUntil) return false;
      const { code, errno, syscall } = error;
      const why = code === 'EADDRINUSE' ? this.#holderOf(request) : this.#adviceOn(code, request);
      requester.refuse(id, { code, errno, syscall }, nameOf(request), why);
    }
    return true;
  }
}

const because = (text: string): Obstacle => ({ text, details: {} });

/** Of the key of a TCP listener (listeners/key.ts). */
const portIn = (key: string): number => Number(/:(\d+)(?: v6only)?$/.exec(key)?.[1]);
