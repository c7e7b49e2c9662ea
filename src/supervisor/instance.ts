import { isDone, within } from '../base/deadline.js';
import { ABANDON_MS, ACCEPT_MS, AFTERLIFE_MS, RETIRED_MS } from '../base/deadlines.js';
import { HandoverError, MotyaError, reasonOf, StartError } from '../base/errors.js';
import { takeActivated } from '../base/os/activation.js';
import { native } from '../base/os/native.js';
import { identify } from '../base/os/path-identity.js';
import { drainSocketOf, ensureRuntimeFolder } from '../base/os/paths.js';
import { Pidfile } from '../base/os/pidfile.js';
import { checkPlace, clearAfter } from '../base/os/private-socket.js';
import { asUser, dropPrivileges, isToDrop } from '../base/os/privileges.js';
import type { Settings } from '../config/settings.js';
import { answersAt } from '../control/client.js';
import { type CommandTarget, ControlServer } from '../control/control-server.js';
import { clearDrainers } from '../control/drainers.js';
import { fitting, type ListenerDiff, listenerDiff } from '../handover/listener-diff.js';
import type { Offered } from '../handover/successor.js';
import { ADMIN, declareAfterDeath, declareListeners, reserveListeners } from '../listeners/declared.js';
import { isStoreName } from '../listeners/fd-name.js';
import { Ledger, type Listener } from '../listeners/ledger.js';
import { retire } from '../listeners/retire.js';
import { hasSocket } from '../listeners/socket-users.js';
import type { Outlets } from '../logging/outputs.js';
import { AdminServer } from '../status/admin/admin-server.js';
import type { StatusSource } from '../status/admin/routes.js';
import { type Overview, statusLine } from '../status/status-document.js';
import { Fleet } from '../workers/fleet.js';
import { ListenGate } from '../workers/listen-gate.js';
import { ListenerCounts } from '../workers/listener-counts.js';
import type { HandedOn } from '../workers/program-state.js';
import { activate } from './activate.js';
import { checkReach } from './file-access.js';
import { ServiceManager } from './service-manager.js';

/** What an instance tells, and asks, the life that it belongs to. */
export interface InstanceOwner extends StatusSource {
  overview(): Promise<Overview>;
  warn(event: string, text: string, fields?: object): void;
}

/**
 * What one instance holds — the pidfile's lock, the listeners, the workers, the control socket — and the moves that change
 * hands: from nobody, from an incumbent, to a successor, to nobody. When they are made is the Supervisor's business.
 */
export class Instance {
  readonly settings: Settings;
  readonly ledger: Ledger;
  readonly gate: ListenGate;
  readonly pidfile: Pidfile;
  readonly manager: ServiceManager;
  readonly #admin: AdminServer | null;
  readonly #owner: InstanceOwner;
  #fleet: Fleet | null = null;
  #control: ControlServer | null = null;
  #commands: CommandTarget | null = null;

  constructor(settings: Settings, owner: InstanceOwner) {
    this.settings = settings;
    this.ledger = new Ledger(settings.user);
    this.gate = new ListenGate(this.ledger, { open: !settings.upgrade, sandbox: settings.sandbox });
    this.pidfile = new Pidfile(settings.pidfile);
    this.#owner = owner;
    const reported = {
      status: async () => statusLine(await owner.overview()),
      isWell: (ms: number) => this.fleet.isWell(ms),
    };
    const { admin } = settings;
    const warn = (error: Error): void => owner.warn('peer', `the admin listener: ${error.message}`);
    this.#admin = admin === null ? null : new AdminServer(owner, admin, warn);
    this.manager = new ServiceManager(process.env, reported, (text) => this.#warn(text));
    this.ledger.watcher = this.manager;
  }

  /** Before anything is started. */
  answerCommands(commands: CommandTarget): void {
    this.#commands = commands;
  }

  /** @throws {MotyaError} before {@link makeFleet}. */
  get fleet(): Fleet {
    if (this.#fleet === null) throw new MotyaError('ERR_MOTYA_PHASE', 'nothing has been started');
    return this.#fleet;
  }

  /** @returns how many workers run, each of which has got it */
  signalPrograms(signal: NodeJS.Signals): number {
    return this.#fleet?.signal(signal) ?? 0;
  }

  /** Null until this instance is, or is about to be, the main process. */
  get control(): ControlServer | null {
    return this.#control;
  }

  makeFleet(generation: number, outlets: Outlets | null, options: { accepting: boolean }): Fleet {
    const { ledger, gate, settings } = this;
    const context = { generation, ledger, gate, readyMs: settings.readyTimeout, outlets };
    this.#fleet = new Fleet(settings.services, context, options);
    return this.#fleet;
  }

  /**
   * As a first instance, with the sockets that the service manager has passed.
   * @returns whether there are any
   * @throws {StartError} another one runs.
   */
  found(): boolean {
    const { user } = this.settings;
    const activated = takeActivated(process.env, (text) => this.#warn(text));
    try {
      asUser(user, () => this.#makeSureThatNobodyRuns());
    } catch (error) {
      for (const { fd } of activated) native.close(fd);
      throw error;
    }
    for (const one of activated) activate(one, this.ledger, this.manager, (text) => this.#warn(text));
    return activated.length > 0;
  }

  /** After {@link found}: binds the listeners of the settings, unless they are here. Root ends here. @throws {StartError} */
  declare(): void {
    declareListeners(this.settings, this.ledger);
    this.becomeUser();
    this.acceptAdmin();
  }

  /**
   * As a successor that root has started: binds what the incumbent, which has the listeners with these keys, does not have;
   * root ends here. @throws {StartError}
   */
  reserve(keys: ReadonlySet<string>): void {
    if (!isToDrop(this.settings.user)) return;
    reserveListeners(this.settings, this.ledger, keys);
    this.becomeUser();
  }

  /** The end of root, if the settings name a user. */
  becomeUser(): void {
    const { user } = this.settings;
    if (!isToDrop(user)) return;
    dropPrivileges(user);
    for (const text of checkReach(this.settings, user)) this.#owner.warn('privileges', text);
  }

  #makeSureThatNobodyRuns(): void {
    this.pidfile.acquire();
    // Now, and not at the first upgrade.
    checkPlace(this.settings.upgradeSocket);
    const holder = answersAt(this.settings.controlSocket);
    if (holder !== null) {
      const text = `pid ${holder} answers on ${this.settings.controlSocket}: it has another pidfile, but the same name or upgrade socket; give this one a --name of its own`;
      throw new StartError('ERR_MOTYA_RUNNING', text);
    }
    this.pidfile.prepare();
  }

  /** The incumbent's lock and listeners become ours, also when this throws; the programs get what they wait for. */
  adopt(offered: readonly Offered[], lockFd: number): void {
    const rest = [...offered];
    try {
      this.pidfile.inherit(lockFd);
      for (let next = rest.shift(); next !== undefined; next = rest.shift()) this.ledger.inherit(next.fd, next.entry);
    } finally {
      for (const { fd } of rest) native.close(fd);
    }
    this.ledger.isShared = true;
    this.pidfile.prepare();
    declareListeners(this.settings, this.ledger);
    this.#openControl();
    this.gate.open();
  }

  /** The incumbent died before its listeners were here: what it held is bound anew. */
  async replaceDead(): Promise<void> {
    await this.pidfile.acquireAfterDeath(AFTERLIFE_MS);
    this.pidfile.prepare();
    await declareAfterDeath(this.settings, this.ledger);
    this.#openControl();
    // Its orphaned workers are about to give theirs up.
    this.gate.awaitAddresses(AFTERLIFE_MS);
    this.gate.open();
  }

  /** What became of the incumbent's listeners, once every program has asked for its own. */
  listenerDiff(): ListenerDiff {
    return listenerDiff(this.programListeners(), this.ledger.unused(), this.unserved());
  }

  /** A successor's programs accept, and it becomes the main process. */
  async goLive(inherited: readonly HandedOn[] = []): Promise<void> {
    this.fleet.inherit(inherited);
    if (!(await isDone(ACCEPT_MS, Promise.race([this.fleet.accept(), this.fleet.failed])))) {
      throw new HandoverError('ERR_MOTYA_WORKERS_NOT_ACCEPTING', `the workers do not accept within ${ACCEPT_MS} ms`);
    }
    this.becomeMain();
  }

  /** Workers that end are started again; the pidfile and the control socket are ours, and the service manager knows. */
  becomeMain(): void {
    this.gate.guardKeys(new Map());
    this.fleet.keepAlive();
    // First, because it can fail: a pidfile that names us must not stay behind.
    this.#openControl().publish();
    clearDrainers(this.settings.controlSocket);
    this.pidfile.publish();
    this.manager.isMain();
    for (const { heldAs, key, service } of this.ledger.all()) {
      const isUnits = heldAs !== null && !isStoreName(heldAs);
      if (isUnits && service === null)
        this.#warn(`${heldAs} (${key}) is passed to us, but nobody listens on it: clients wait`);
    }
  }

  /** Closes the listeners that no program uses and no setting names, and returns their keys. No other generation has them. */
  dropUnused(): string[] {
    this.ledger.isShared = false;
    return this.#drop(this.ledger.unused(), { unlink: true });
  }

  /**
   * The same while the incumbent has them too, which is to end them; it holds their addresses until then. Returns the keys of those
   * that a message has room for.
   */
  letGoUnused(): string[] {
    const unused = this.ledger.unused();
    const told = new Set(fitting(unused.map(({ key }) => key)));
    const ends = (listener: Listener): boolean => listener.inherited && told.has(listener.key);
    this.#drop(
      unused.filter((listener) => !ends(listener)),
      { unlink: true },
    );
    if (unused.length > 0) this.gate.awaitAddresses(RETIRED_MS);
    return this.#drop(unused.filter(ends), { unlink: false });
  }

  #drop(listeners: readonly Listener[], options: { unlink: boolean }): string[] {
    for (const listener of listeners) this.ledger.remove(listener, options);
    return listeners.map(({ key }) => key);
  }

  /** Listeners that a program of the incumbent has used and none here does, declared or not: the incumbent accepts on these. */
  unserved(): Listener[] {
    return this.ledger.all().filter(({ wasLateBy, isUsed }) => wasLateBy !== null && !isUsed);
  }

  /** What programs serve on, or may: all but the admin listener. */
  programListeners(): Listener[] {
    return this.ledger.all().filter(({ service }) => service !== ADMIN);
  }

  /** Answers those who look at the instance, from now on or again. */
  acceptAdmin(): void {
    const listener = this.adminListener;
    if (listener !== undefined) this.#admin?.accept(listener.fd, listener.backlog);
  }

  /** Lets the successor answer them, unless its admin listener is another one than ours (its key is in `unwanted`). */
  pauseAdmin(unwanted: readonly string[]): void {
    const key = this.adminListener?.key;
    if (key !== undefined && !unwanted.includes(key)) this.#admin?.pause();
  }

  /** Undefined when the settings want none. */
  get adminListener(): Listener | undefined {
    return this.ledger.all().find(({ service }) => service === ADMIN);
  }

  /** While listeners change hands: what workers ask for waits for the outcome. */
  freeze(): void {
    this.gate.hold();
  }

  /** After a hand-over that did not happen. */
  thaw(): void {
    this.gate.open();
    this.fleet.thawed();
  }

  /**
   * Accepts again, and takes back what the successor may have taken already.
   * @throws {MotyaError} the pidfile or the control socket cannot be had back; it accepts all the same.
   */
  async takeBack(): Promise<void> {
    // Clients first.
    const accepting = this.fleet.accept();
    this.acceptAdmin();
    await within(ACCEPT_MS, accepting);
    this.reclaim();
  }

  /** Files of a successor, which has ended, that it could not remove itself. */
  clearAfter(pid: number): void {
    this.pidfile.clearAfter(pid);
    clearAfter(this.settings.controlSocket, pid);
  }

  /** The pidfile and the control socket's path are ours again. @throws {MotyaError} */
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

  /** Makes the socket of a generation that drains anew that was removed while this instance drains. @throws {MotyaError} */
  restoreDrainSocket(): void {
    if (this.#control?.isLost !== true) return;
    const { runtimeFolder } = this.settings;
    if (runtimeFolder !== null) ensureRuntimeFolder(runtimeFolder);
    this.#control.restore();
  }

  /**
   * Makes anew what has been removed under the main process: its directory, pidfile, lock, control and admin socket.
   * @returns what was lost; empty: nothing
   * @throws {MotyaError} it cannot be made
   */
  restore(): string[] {
    const { pidfile, settings } = this;
    const control = this.#control;
    const admin = this.#lostAdmin();
    const lost = [
      ...pidfile.lost,
      ...(control?.isLost === true ? [settings.controlSocket] : []),
      ...(admin === null ? [] : [admin.key]),
    ];
    if (lost.length === 0) return [];
    if (settings.runtimeFolder !== null) ensureRuntimeFolder(settings.runtimeFolder);
    // The lock first: another instance may have it by now.
    pidfile.restore();
    if (control?.isLost === true) control.restore();
    if (admin !== null) this.#bindAdminAgain(admin);
    return lost;
  }

  #lostAdmin(): Listener | null {
    const listener = this.adminListener;
    const path = listener?.socket.path;
    const isFile = listener?.socket.family === 'unix' && path?.startsWith('/') === true;
    return listener !== undefined && isFile && identify(path) === null ? listener : null;
  }

  #bindAdminAgain(listener: Listener): void {
    const { admin } = this.settings;
    if (admin === null) return;
    this.#admin?.pause();
    this.ledger.remove(listener, { unlink: false });
    this.ledger.declare(ADMIN, admin.listener);
    this.acceptAdmin();
  }

  /** After {@link takeBack} from a successor that was the main process: the service manager knows. */
  becomeMainAgain(): void {
    this.manager.isMain();
    this.manager.follow(this.ledger);
  }

  /** After a hand-over that is taken back: all but the open connections, and what it has {@link added}, is the incumbent's. */
  handBack(incumbent: number): void {
    this.gate.guardPaths(this.ledger.unixPaths());
    this.gate.shut();
    this.#admin?.pause();
    // The service manager is to forget what only this instance has, and to keep the rest.
    for (const listener of this.added) this.manager.removed(listener);
    this.manager.handedTo(incumbent);
    for (const listener of this.ledger.all()) if (listener.inherited) this.ledger.remove(listener, { unlink: false });
    // Not removed: it is the incumbent's business from here.
    this.pidfile.letGo();
    this.#standAside();
  }

  /** Those that came neither from an incumbent nor from a service manager. */
  get added(): Listener[] {
    return this.ledger.all().filter(({ inherited }) => !inherited);
  }

  /** Lets listeners run dry that nobody wants any more, and closes them: no client is reset. Programs cannot listen any more. */
  async retire(listeners: readonly Listener[], cut: Promise<void>): Promise<void> {
    this.gate.shut();
    // It is deaf for every process that has it: not what another program, which was not ended, goes on with.
    const isOurs = ({ adoptedFrom, socket }: Listener): boolean =>
      adoptedFrom === null || !hasSocket(adoptedFrom, socket.inode);
    const ours = listeners.filter(isOurs);
    await retire(ours, {
      accepted: (some) => this.#acceptedOn(some),
      cut,
      warn: (text) => this.#owner.warn('retire', text),
    });
    if (listeners.some(({ service }) => service === ADMIN)) this.#admin?.pause();
    for (const listener of listeners) this.ledger.remove(listener, { unlink: ours.includes(listener) });
  }

  /** Connections that its workers have accepted on these listeners; null: one of them does not answer. */
  async #acceptedOn(listeners: readonly Listener[]): Promise<number | null> {
    const counts = await this.fleet.countListeners(listeners.map(({ key }) => key));
    if (!listeners.every(({ claims }) => counts.answered(claims))) return null;
    return listeners.reduce((sum, { key }) => sum + counts.acceptedSince(new ListenerCounts(), key), 0);
  }

  /** After a hand-over: all but the open connections is the successor's. */
  giveAway(): void {
    // A program of ours that unlinks its socket when it ends must not take the successor's path.
    this.gate.guardPaths(this.ledger.unixPaths());
    this.gate.shut();
    this.ledger.removeAll({ unlink: false });
    // It names the successor by now; if it still names us, the successor has another one.
    this.pidfile.release();
    this.#standAside();
  }

  /** The control socket's path is another generation's: while this one drains it is found, and can be ended, at a path of its own. */
  #standAside(): void {
    try {
      this.#control?.moveTo(drainSocketOf(this.settings.controlSocket, process.pid));
    } catch (error) {
      // A full disk, a directory that has gone: its successor still hears of it, and signals reach it.
      this.#owner.warn('peer', `commands cannot reach this instance while it drains: ${reasonOf(error)}`);
    }
  }

  /** At a stop: clients are refused from here on, and no program may listen any more. Who looks is answered to the end. */
  async closeListeners(cut: Promise<void>, { unlink }: { unlink: boolean }): Promise<void> {
    if (!unlink) this.gate.guardPaths(this.ledger.unixPaths());
    this.gate.shut();
    const all = this.programListeners();
    // What another generation may serve on again is not to run dry.
    const kept = unlink ? await this.manager.keeps(all) : new Set(all.filter(({ inherited }) => inherited));
    await this.retire(
      all.filter((listener) => !kept.has(listener)),
      cut,
    );
    for (const listener of kept) this.ledger.remove(listener, { unlink });
  }

  /** At the end of an instance without a successor, when its workers have ended. */
  close(options: { unlink: boolean }): void {
    this.#admin?.pause();
    this.ledger.removeAll(options);
    this.pidfile.release();
    this.#control?.close();
  }

  /** At the very end: whoever is connected hears of it. */
  disconnect(): void {
    this.#admin?.close();
    this.#control?.close();
    this.#control?.disconnect();
  }

  /** After a failed start: what was bound goes, what the incumbent gave stays its own. */
  async abandon(): Promise<void> {
    this.ledger.abandonAll();
    this.#control?.close();
    this.disconnect();
    // Its programs have served no client: the grace of the settings may be long, and the next upgrade waits.
    await this.#fleet?.drain(Promise.resolve(), ABANDON_MS);
    this.#fleet?.closeOutput();
    asUser(this.settings.user, () => this.pidfile.letGo());
  }

  #warn(text: string): void {
    this.#owner.warn('manager', text);
  }

  #openControl(): ControlServer {
    if (this.#commands === null) throw new MotyaError('ERR_MOTYA_PHASE', 'nothing answers commands');
    this.#control ??= new ControlServer(this.settings.controlSocket, this.#commands);
    return this.#control;
  }
}
