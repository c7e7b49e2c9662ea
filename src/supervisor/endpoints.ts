import { failureFields, MotyaError, reasonOf, StartError, type Warn } from '../base/errors.js';
import { identify } from '../base/os/path-identity.js';
import { drainSocketOf, ensureRuntimeDirectory } from '../base/os/paths.js';
import { Pidfile } from '../base/os/pidfile.js';
import { checkPlace, clearAfter } from '../base/os/private-socket.js';
import type { Settings } from '../config/settings.js';
import { answersAt } from '../control/client.js';
import { type CommandTarget, ControlServer } from '../control/control-server.js';
import { clearDrainers } from '../control/drainers.js';
import { ADMIN } from '../listeners/declared.js';
import type { Ledger } from '../listeners/ledger.js';
import type { Listener } from '../listeners/listener.js';
import { AdminServer } from '../status/admin/admin-server.js';
import type { StatusSource } from '../status/admin/routes.js';

/** Where an instance is found and asked: its pidfile, its control socket, its admin listener. All of it changes hands. */
export class Endpoints {
  readonly pidfile: Pidfile;
  readonly #settings: Settings;
  readonly #ledger: Ledger;
  readonly #warn: Warn;
  readonly #admin: AdminServer | null;
  #commands: CommandTarget | null = null;
  #control: ControlServer | null = null;

  constructor(settings: Settings, ledger: Ledger, source: StatusSource, warn: Warn) {
    this.pidfile = new Pidfile(settings.pidfile, settings.controlSocket);
    this.#settings = settings;
    this.#ledger = ledger;
    this.#warn = warn;
    const { admin } = settings;
    const adminWarn = (error: Error): void => warn(`the admin listener: ${error.message}`, failureFields(error));
    this.#admin = admin === null ? null : new AdminServer(source, admin, adminWarn);
  }

  /** Before anything is started. */
  answerCommands(commands: CommandTarget): void {
    this.#commands = commands;
  }

  /** Null until this instance is, or is about to be, the main process. */
  get control(): ControlServer | null {
    return this.#control;
  }

  /** As a first instance. @throws {MotyaError} another instance has these, or they cannot be made */
  acquire(): void {
    const { controlSocket, upgradeSocket } = this.#settings;
    this.pidfile.acquire();
    // Now, and not at the first upgrade.
    checkPlace(upgradeSocket);
    const holder = answersAt(controlSocket);
    if (holder !== null) {
      const text = `pid ${holder} answers on ${controlSocket}: it has another pidfile, but the same name or upgrade socket; give this one a --name of its own`;
      throw new StartError('ERR_MOTYA_RUNNING', text, { details: { path: controlSocket, pid: holder } });
    }
    this.pidfile.prepare();
  }

  /** Once the pidfile's lock is ours, before the programs accept: what can fail does so now. @throws {MotyaError} */
  prepare(): void {
    this.#openControl();
  }

  /** The pidfile and the control socket's path are ours. @throws {MotyaError} */
  publish(): void {
    // First, because it can fail: a pidfile that names us must not stay behind.
    this.#openControl().publish();
    clearDrainers(this.#settings.controlSocket);
    this.pidfile.publish();
  }

  /** The same, after a successor may have taken them. @throws {MotyaError} */
  reclaim(): void {
    if (!this.pidfile.isOurs) this.pidfile.publish();
    if (this.#control?.isPublished === true) {
      this.#control.admitWatchers();
      return;
    }
    this.#control?.close();
    this.#control = null;
    this.#openControl().publish();
  }

  /** Files of a successor, which has ended, that it could not remove itself. */
  clearAfter(pid: number): void {
    this.pidfile.clearAfter(pid);
    clearAfter(this.#settings.controlSocket, pid);
  }

  /** Makes the socket of a generation that drains anew that was removed while this instance drains. @throws {MotyaError} */
  restoreDrainSocket(): void {
    if (this.#control?.isLost !== true) return;
    const { runtimeDirectory } = this.#settings;
    if (runtimeDirectory !== null) ensureRuntimeDirectory(runtimeDirectory);
    this.#control.restore();
  }

  /**
   * Makes anew what has been removed under the main process: its directory, pidfile, lock, control and admin socket.
   * @returns what was lost; empty: nothing
   * @throws {MotyaError} it cannot be made
   */
  restore(): string[] {
    const { controlSocket, runtimeDirectory } = this.#settings;
    const control = this.#control;
    const admin = this.#lostAdmin();
    const lost = [
      ...this.pidfile.lost,
      ...(control?.isLost === true ? [controlSocket] : []),
      ...(admin === null ? [] : [admin.key]),
    ];
    if (lost.length === 0) return [];
    if (runtimeDirectory !== null) ensureRuntimeDirectory(runtimeDirectory);
    // The lock first: another instance may have it by now.
    this.pidfile.restore();
    if (control?.isLost === true) control.restore();
    if (admin !== null) this.#bindAdminAgain(admin);
    return lost;
  }

  /** The control socket's path is another generation's: while this one drains it is found, and can be ended, at a path of its own. */
  standAside(): void {
    try {
      this.#control?.moveTo(drainSocketOf(this.#settings.controlSocket, process.pid));
    } catch (error) {
      // A full disk, a directory that has gone: its successor still hears of it, and signals reach it.
      this.#warn(`commands cannot reach this instance while it drains: ${reasonOf(error)}`, failureFields(error));
    }
  }

  /** Undefined when the settings want none. */
  get adminListener(): Listener | undefined {
    return this.#ledger.all().find(({ service }) => service === ADMIN);
  }

  /** Answers on the admin listener, from now on or again. */
  acceptAdmin(): void {
    const listener = this.adminListener;
    if (listener !== undefined) this.#admin?.accept(listener.fd, listener.backlog);
  }

  /** Leaves the admin listener to another instance, or ends it. */
  pauseAdmin(): void {
    this.#admin?.pause();
  }

  /** The same, for a successor, unless its admin listener is another one than ours (its key is in `leftOut`). */
  handOverAdmin(leftOut: readonly string[]): void {
    const key = this.adminListener?.key;
    if (key !== undefined && !leftOut.includes(key)) this.pauseAdmin();
  }

  /** Accepts no command any more; open connections stay. */
  closeControl(): void {
    this.#control?.close();
  }

  /** At the very end: open connections are closed. */
  disconnect(): void {
    this.#admin?.close();
    this.#control?.close();
    this.#control?.disconnect();
  }

  #openControl(): ControlServer {
    if (this.#commands === null) throw new MotyaError('ERR_MOTYA_PHASE', 'nothing answers commands');
    this.#control ??= new ControlServer(this.#settings.controlSocket, this.#commands);
    return this.#control;
  }

  #lostAdmin(): Listener | null {
    const listener = this.adminListener;
    const path = listener?.socket.path;
    const isFile = listener?.socket.family === 'unix' && path?.startsWith('/') === true;
    return listener !== undefined && isFile && identify(path) === null ? listener : null;
  }

  #bindAdminAgain(listener: Listener): void {
    const { admin } = this.#settings;
    if (admin === null) return;
    this.pauseAdmin();
    this.#ledger.remove(listener, { unlink: false });
    this.#ledger.declare(ADMIN, admin.listener);
    this.acceptAdmin();
  }
}
