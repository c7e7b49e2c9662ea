import { inBackground, repeatInBackground } from '../base/background.js';
import { STOP_EXTENSION_MS } from '../base/deadlines.js';
import { native } from '../base/os/native.js';
import { NotifySocket } from '../base/os/notify-socket.js';
import { defectsOf, isStoppedForGood, ownUnit } from '../base/os/unit-cgroup.js';
import { isStoreName } from '../listeners/fd-name.js';
import type { Ledger } from '../listeners/ledger.js';
import type { Listener } from '../listeners/listener.js';
import { FdStore } from './fd-store.js';

/** ms between two status lines to the service manager: people look at them, and each costs a question to every worker. */
export const STATUS_MS = 10_000;

/** What the service manager wants to know of the workers and of the instance. */
export interface Reported {
  /** One line for people (`systemctl status`). */
  status(): Promise<string>;
  /** Whether every worker that should answers within `ms`. */
  isWell(ms: number): Promise<boolean>;
}

/**
 * What an instance tells the service manager that runs it (sd_notify(3)), over its life. Which process is the main one is said by both
 * generations: by the successor, because the incumbent may die; by the incumbent, because NotifyAccess=main hears no other process.
 * After its hand-over an instance says nothing any more: STOPPING=1 would stop the whole unit.
 */
export class ServiceManager {
  readonly #socket: NotifySocket;
  readonly #store: FdStore;
  readonly #reported: Reported;
  readonly #warn: (text: string) => void;
  #isMain = false;
  #watchdogUsec: number | null;
  #watchdog: NodeJS.Timeout | undefined;
  #status: NodeJS.Timeout | undefined;

  constructor(env: NodeJS.ProcessEnv, reported: Reported, warn: (text: string) => void) {
    this.#socket = new NotifySocket(env, warn);
    this.#store = new FdStore(this.#socket);
    this.#reported = reported;
    this.#warn = warn;
    // $WATCHDOG_PID names the first process of the unit: a successor that heeded it would never ping.
    this.#watchdogUsec = usec(env.WATCHDOG_USEC);
  }

  get exists(): boolean {
    return this.#socket.exists;
  }

  /** µs between two pings at most, to be handed over: systemd tells it to the unit's first process only. */
  get watchdogUsec(): number | null {
    return this.#watchdogUsec;
  }

  set watchdogUsec(value: number | null) {
    this.#watchdogUsec ??= value;
  }

  /** The start may take `ms`. */
  starting(ms: number): void {
    this.#socket.send([`EXTEND_TIMEOUT_USEC=${Math.round(ms * 1000)}`]);
  }

  /** The start has failed. */
  failed(reason: string): void {
    this.#socket.send([`STATUS=${reason}`]);
  }

  /** This process is the main one and accepts. One datagram: a reload is over with READY=1, so the new pid must not come later. */
  becomeMain(): void {
    this.#isMain = true;
    this.#socket.send([...mainPid(process.pid), 'READY=1']);
  }

  /** A listener has come; only the main process's are the unit's. */
  entered(listener: Listener): void {
    if (this.#isMain) this.#store.add(listener);
  }

  /** A listener is not used any more. One that the incumbent has too stays stored until {@link settled}: a crash may come after a rollback. */
  removed({ heldAs }: Listener, { isShared }: { isShared: boolean }): void {
    if (!this.#isMain) return;
    if (isShared) this.#store.removeLater(heldAs);
    else this.#store.remove(heldAs);
  }

  /** The incumbent has let go, and cannot serve again. */
  settled(): void {
    if (this.#isMain) this.#store.removeNow();
  }

  /** A stored socket is of no use. */
  drop(name: string): void {
    this.#store.remove(name);
  }

  /** From here on the manager is kept up to date: its copies of the listeners, its watchdog, its status line. */
  follow(ledger: Ledger): void {
    if (!this.#socket.exists) return;
    // A manager that does not read would cost its whole patience for each: the rest is tried again later.
    const store = (): boolean => ledger.all().every((listener) => this.#store.add(listener));
    store();
    if (this.#socket.isSystemd) {
      const stored = ledger.all().filter(({ heldAs }) => isStoreName(heldAs)).length;
      inBackground("looking at the unit's settings", this.#inspect(stored));
    }
    this.tell();
    this.#status ??= setInterval(() => {
      store();
      this.tell();
    }, STATUS_MS).unref();
    if (this.#watchdogUsec !== null) this.#watch(this.#watchdogUsec / 1000);
  }

  /** Renews the status line of the main process. */
  tell(): void {
    if (!this.#socket.exists || !this.#isMain) return;
    const told = this.#reported.status().then((line) => {
      if (this.#isMain) this.#socket.send([`STATUS=${line}`]);
    });
    inBackground('the status line of the service manager', told);
  }

  /** An upgrade begins. Whatever comes of it, READY=1 must follow, or `systemctl reload` waits for ever. */
  reloading(): void {
    const usecs = process.hrtime.bigint() / 1000n;
    this.#socket.send(['RELOADING=1', `MONOTONIC_USEC=${usecs}`, 'STATUS=an upgrade is under way']);
  }

  /** The upgrade did not happen. */
  notReloaded(reason: string): void {
    this.#socket.send([...mainPid(process.pid), 'READY=1', `STATUS=serves on; the upgrade failed: ${reason}`]);
  }

  /** The successor (its pid) is the main process. */
  handedTo(pid: number): void {
    if (this.#isMain) this.#socket.send([...mainPid(pid), 'READY=1']);
    this.#silence();
  }

  /** A stop without a successor. The manager keeps what is stored: it may be about to start us again. */
  beginStop(): void {
    this.#silence();
    this.#socket.send(['STOPPING=1', 'STATUS=stops']);
  }

  /**
   * Which of these outlive a stop, because the manager has copies for the next start: it is not to be deaf. systemd keeps those of
   * its .socket units in any case, and what we have stored unless it stops the unit, for good (systemd.service(5)).
   */
  async keeps(listeners: readonly Listener[]): Promise<Set<Listener>> {
    const isStored = ({ heldAs }: Listener): boolean => isStoreName(heldAs);
    const forgets = this.#socket.isSystemd ? listeners.some(isStored) && (await isStoppedForGood()) : true;
    return new Set(listeners.filter((one) => one.heldAs !== null && !(isStored(one) && forgets)));
  }

  /** A drain that ends with a stop goes on: without word the manager would kill it after TimeoutStopSec=. */
  goOnStopping(connections: number): void {
    this.#socket.send([
      `EXTEND_TIMEOUT_USEC=${STOP_EXTENSION_MS * 1000}`,
      `STATUS=stops; ${connections} connections are open`,
    ]);
  }

  /** At the end: resolves when what was said has been heard. */
  async end(): Promise<void> {
    this.#silence();
    await this.#socket.barrier();
  }

  /** systemd drops what it will not store without a word to us. */
  async #inspect(stored: number): Promise<void> {
    await this.#socket.barrier();
    const unit = await ownUnit();
    if (unit !== null && this.#isMain) for (const defect of defectsOf(unit, stored)) this.#warn(defect);
  }

  #silence(): void {
    this.#isMain = false;
    clearInterval(this.#watchdog);
    clearInterval(this.#status);
    // It may become the main process again.
    this.#watchdog = undefined;
    this.#status = undefined;
  }

  /** A worker that hangs is as bad as we: the manager hears of us only while all of them answer. */
  #watch(periodMs: number): void {
    const interval = periodMs / 3;
    const ping = async (): Promise<void> => {
      if ((await this.#reported.isWell(interval)) && this.#isMain) this.#socket.send(['WATCHDOG=1']);
    };
    this.#watchdog ??= repeatInBackground('the watchdog', interval, ping).unref();
  }
}

/** With the process's own id where the kernel has one: systemd 257 checks that the pid is still the same process. */
function mainPid(pid: number): string[] {
  const id = native.pidfd.idOf(pid);
  return [`MAINPID=${pid}`, ...(id === null ? [] : [`MAINPIDFDID=${id}`])];
}

function usec(value: string | undefined): number | null {
  const number = Number(value);
  return value !== undefined && Number.isSafeInteger(number) && number > 0 ? number : null;
}
