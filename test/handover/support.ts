import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Details, HandoverError } from '#src/base/errors.js';
import { native } from '#src/base/os/native.js';
import { Pidfile } from '#src/base/os/pidfile.js';
import { type HandoverMessage, handoverCodec } from '#src/handover/handover-messages.js';
import { type HandedOver, IncumbentSession } from '#src/handover/incumbent.js';
import type { ListenerDiff } from '#src/handover/listener-diff.js';
import { type Greeting, type Offer, type Offered, SuccessorSession } from '#src/handover/successor.js';
import { Ledger } from '#src/listeners/ledger.js';
import type { Listener } from '#src/listeners/listener.js';
import { type Phase, PhaseMachine } from '#src/status/phases.js';
import type { HandedOn } from '#src/workers/program-state.js';
import { openFds } from '../base/native/support.js';
import { until } from '../e2e/harness/until.js';

/** A pid that no process can have (PID_MAX_LIMIT, proc(5)). */
export const NOBODY = 2 ** 22 + 1;

/** Runs `body` in an empty directory and checks that no fd is left afterwards. */
export async function leavesNothing(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'motya-handover-'));
  const before = openFds();
  try {
    await body(directory);
    await until(() => openFds() === before, { what: 'fds as before', instead: () => openFds() - before });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Holds `count` real listeners of every kind in turn, and a pidfile's lock: an incumbent without processes. */
export class TestGiver {
  readonly ledger = new Ledger();
  readonly pidfile: Pidfile;
  readonly stopping = new AbortController();
  dryRun = false;
  readonly phases: Phase[] = [];
  /** Called with each phase it comes to. */
  onPhase: (phase: Phase) => void = () => {};
  readonly machine = new PhaseMachine('serving', (_, to) => {
    this.phases.push(to);
    this.onPhase(to);
  });
  /** What COMMIT waits for. */
  pausing: Promise<void> = Promise.resolve();
  accepting = true;
  /** What goes with COMMIT. */
  history: object | undefined;

  constructor(directory: string, count: number) {
    this.pidfile = new Pidfile(join(directory, 'pid'));
    this.pidfile.acquire();
    for (let n = 0; n < count; n += 1) this.#bind(directory, n);
    this.machine.step('upgrade');
    this.machine.step('connected');
  }

  listeners(): readonly Listener[] {
    return this.ledger.all();
  }

  /** The steps of supervisor/upgrade.ts. */
  async handOver(fd: number): Promise<HandedOver | 'dry-run'> {
    const session = new IncumbentSession(fd, this.stopping.signal);
    try {
      const { lockFd } = this.pidfile;
      const listeners = this.listeners();
      await session.offer({ pid: process.pid, generation: 4, listeners, lockFd, watchdogUsec: null, endingMs: 0 });
      this.machine.step('adopted');
      await session.awaitReady();
      if (this.dryRun) {
        session.endDryRun();
        return 'dry-run';
      }
      this.machine.step('ready');
      await session.race(this.#pause());
      await session.sendState(this.#gather());
      session.commit(this.history === undefined ? {} : { history: this.history });
      this.machine.step('paused');
      const handed = await session.awaitLive();
      this.machine.step('live');
      return handed;
    } catch (error) {
      const failure = HandoverError.from(error);
      session.abort(failure);
      throw failure;
    }
  }

  /** What its programs hand on. */
  values: readonly HandedOn[] | Promise<HandedOn[]> = [];

  async #gather(): Promise<HandedOn[]> {
    return [...(await this.values)];
  }

  async #pause(): Promise<void> {
    await this.pausing;
    this.accepting = false;
  }

  close(): void {
    this.ledger.removeAll({ unlink: false });
    this.pidfile.letGo();
  }

  #bind(directory: string, n: number): void {
    const tcp = { kind: 'tcp', port: 0, v6only: false, backlog: 10 + n, ordinal: n } as const;
    const udp = { kind: 'udp', port: 0, reuseAddr: false, ordinal: n } as const;
    const request = [
      { ...tcp, address: '127.0.0.1' },
      { ...tcp, address: '::1' },
      { ...tcp, address: '::', v6only: true },
      { kind: 'unix', path: join(directory, `${n}.sock`), backlog: 0 } as const,
      { kind: 'unix', path: `\0motya-test-${process.pid}-${directory}-${n}`, backlog: 3 } as const,
      { ...udp, family: 'inet', address: '127.0.0.1', v6only: false } as const,
      { ...udp, family: 'inet6', address: '::1', v6only: false } as const,
      { ...tcp, address: null },
    ][n % 8];
    assert.ok(request !== undefined);
    assert.ok('fd' in this.ledger.addUser('web', 1, request));
  }
}

/** A successor without processes: adopts into a real ledger and a real pidfile. */
export class TestTaker implements Greeting {
  readonly pid = 4711;
  readonly version = '0.0.1';
  readonly readyMs = 20_000;
  readonly probationMs = 0;
  readonly ledger = new Ledger();
  readonly pidfile: Pidfile;
  readonly phases: Phase[] = [];
  readonly machine = new PhaseMachine('waiting', (_, to) => this.phases.push(to));
  booting: Promise<void> = Promise.resolve();
  goingLive: Promise<void> = Promise.resolve();
  /** What the programs got: service, index, content. */
  readonly inherited: [string, number, Buffer][] = [];
  /** What came with COMMIT. */
  history: unknown = null;
  /** The keys that LIVE is to have as removed. */
  removed: string[] | undefined = undefined;
  readonly stopping = new AbortController();
  readonly breakDown: (error: Error) => void;
  readonly broken: Promise<never>;

  constructor(directory: string) {
    this.pidfile = new Pidfile(join(directory, 'pid'));
    this.machine.step('contacted');
    let reject!: (error: Error) => void;
    this.broken = new Promise((_, fail) => {
      reject = fail;
    });
    this.broken.catch(() => {});
    this.breakDown = reject;
  }

  /** The steps of supervisor/start.ts. */
  async takeOver(offer: Offer): Promise<'handed-over' | 'alone'> {
    const session = new SuccessorSession(offer, this.stopping.signal);
    try {
      this.adopt(offer.listeners, offer.lockFd);
      session.adopted();
      this.machine.step('adopted');
      const diff = await session.whileBooting(this.#boot());
      this.machine.step('ready');
      session.ready(diff);
      const commit = await session.awaitCommit(this.broken);
      const live = this.#goLive(commit?.state ?? []);
      this.machine.step(commit === null ? 'incumbentGone' : 'commit');
      this.history = commit?.history;
      await live;
      session.live(commit === null ? undefined : this.removed);
      this.machine.step('live');
      return commit === null ? 'alone' : 'handed-over';
    } catch (error) {
      const failure = HandoverError.from(error);
      session.abort(failure);
      throw failure;
    } finally {
      session.close();
    }
  }

  adopt(listeners: readonly Offered[], lockFd: number): void {
    for (const { fd, entry } of listeners) this.ledger.inherit(fd, entry);
    this.pidfile.inherit(lockFd);
  }

  async #boot(): Promise<ListenerDiff> {
    await this.booting;
    return { kept: this.ledger.size, added: 0, removed: 0, leftOut: [] };
  }

  async #goLive(values: readonly HandedOn[]): Promise<void> {
    for (const { service, index, fd } of values)
      this.inherited.push([service, index, readFileSync(`/proc/self/fd/${fd}`)]);
    await this.goingLive;
    this.pidfile.publish();
  }

  close(): void {
    this.ledger.removeAll({ unlink: true });
    this.pidfile.release();
  }
}

/** A peer that says what a test wants it to say, in any order. */
export class TestPeer {
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Whole bytes, however wrong. */
  sayRaw(data: string, fds: readonly number[] = []): void {
    assert.equal(native.channel.send(this.#fd, Buffer.from(data), fds), true);
  }

  say(message: HandoverMessage | { type: string; [field: string]: unknown }, fds: readonly number[] = []): void {
    this.sayRaw(JSON.stringify(message), fds);
  }

  /** The next message, whose fds are closed here unless `keep` gets them; null when the other side has hung up. */
  async hear(keep?: number[]): Promise<HandoverMessage | null> {
    const message = await until(() => native.channel.receive(this.#fd, 100_000), { what: 'a message' });
    if (message.data.length === 0) return null;
    if (keep === undefined) for (const fd of message.fds) native.fd.close(fd);
    else keep.push(...message.fds);
    return handoverCodec.decode(message.data);
  }

  /** Reads on until a message of this type has come. */
  async hearUntil<T extends HandoverMessage['type']>(type: T): Promise<Extract<HandoverMessage, { type: T }>> {
    for (;;) {
      const message = await this.hear();
      assert.ok(message !== null, `hung up without ${type}`);
      if (message.type === type) return message as Extract<HandoverMessage, { type: T }>;
      assert.notEqual(message.type, 'ABORT', JSON.stringify(message));
    }
  }

  /** The reason why the other side has given up, after which it has hung up. */
  async hearAbort(): Promise<{ code: string; text: string; details: Details }> {
    for (;;) {
      const message = await this.hear();
      assert.ok(message !== null, 'hung up without a word');
      if (message.type !== 'ABORT') continue;
      assert.equal(await this.hear(), null, 'nothing after ABORT');
      assert.ok(message.text.length > 0 && !message.text.includes('\n'), message.text);
      return { code: message.code, text: message.text, details: message.details ?? {} };
    }
  }

  /** As a process that dies. */
  close(): void {
    native.fd.close(this.#fd);
  }
}

/** `about`: details that it must have, or a text that another side has said and is passed on. */
export async function rejectsWith(
  promise: Promise<unknown>,
  code: string,
  about: Details | RegExp = {},
): Promise<HandoverError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof HandoverError, `no HandoverError: ${String(error)}`);
    assert.equal(error.code, code, error.message);
    if (about instanceof RegExp) assert.match(error.message, about);
    else hasDetails(error.details, about);
    return error;
  }
  assert.fail('it was not rejected');
}

export function hasDetails(actual: Details, expected: Details): void {
  assert.deepEqual({ ...actual, ...expected }, actual);
}
