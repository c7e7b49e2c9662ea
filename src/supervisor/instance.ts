import { ABANDON_MS, ACCEPT_MS, AFTERLIFE_MS } from '../base/deadlines.js';
import { HandoverError, MotyaError, type Warn } from '../base/errors.js';
import { takeActivated } from '../base/os/activation.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { asUser, dropPrivileges, isToDrop } from '../base/os/privileges.js';
import { isDone, within } from '../base/timeout.js';
import type { Settings } from '../config/settings.js';
import { type ListenerDiff, listenerDiff } from '../handover/listener-diff.js';
import type { Offered } from '../handover/successor.js';
import { ADMIN, declareAfterDeath, declareListeners, reserveListeners } from '../listeners/declared.js';
import { isStoreName } from '../listeners/fd-name.js';
import { Ledger } from '../listeners/ledger.js';
import type { Listener } from '../listeners/listener.js';
import { retire } from '../listeners/retire.js';
import { hasSocket } from '../listeners/socket-users.js';
import type { Outputs } from '../logging/outputs.js';
import type { StatusSource } from '../status/admin/routes.js';
import { type Overview, statusLine } from '../status/status-document.js';
import { Fleet } from '../workers/fleet.js';
import { ListenGate } from '../workers/listen-gate.js';
import { ListenerCounts } from '../workers/listener-counts.js';
import type { HandedOn } from '../workers/program-state.js';
import { activate } from './activate.js';
import { Endpoints } from './endpoints.js';
import { checkFileAccess } from './file-access.js';
import { ServiceManager } from './service-manager.js';

/** What an instance tells, and asks, the life that it belongs to. */
export interface InstanceOwner extends StatusSource {
  overview(): Promise<Overview>;
  warn(event: string, text: string, fields?: object): void;
  /** Root has become the user of the settings. */
  becameUser(): void;
}

/**
 * What one instance holds — the listeners, the workers, and its endpoints — and the moves that change
 * hands: at a first start, from an incumbent, to a successor, at a stop. The Supervisor decides when.
 */
export class Instance {
  readonly settings: Settings;
  readonly ledger: Ledger;
  readonly gate: ListenGate;
  readonly endpoints: Endpoints;
  readonly manager: ServiceManager;
  readonly #owner: InstanceOwner;
  readonly #warn: Warn = (text, fields) => this.#owner.warn('manager', text, fields);
  #fleet: Fleet | null = null;

  constructor(settings: Settings, owner: InstanceOwner) {
    this.settings = settings;
    this.ledger = new Ledger(settings.user);
    this.gate = new ListenGate(this.ledger, { open: !settings.upgrade, sandbox: settings.sandbox });
    this.endpoints = new Endpoints(settings, this.ledger, owner, (text, fields) => owner.warn('peer', text, fields));
    this.#owner = owner;
    const reported = {
      status: async () => statusLine(await owner.overview()),
      isWell: (ms: number) => this.fleet.isWell(ms),
    };
    this.manager = new ServiceManager(process.env, reported, this.#warn);
    this.ledger.watcher = this.manager;
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

  makeFleet(generation: number, outputs: Outputs | null, options: { accepting: boolean }): Fleet {
    const { ledger, gate, settings } = this;
    const context = { generation, ledger, gate, readyMs: settings.readyTimeout, outputs };
    this.#fleet = new Fleet(settings.services, context, options);
    return this.#fleet;
  }

  /**
   * As a first instance: acquires the pidfile, and the sockets that the service manager has passed.
   * @returns whether it has passed any
   * @throws {StartError} another one runs.
   */
  acquire(): boolean {
    const { user } = this.settings;
    const activated = takeActivated(process.env, this.#warn);
    using owned = new OwnedFds(activated.map(({ fd }) => fd));
    asUser(user, () => this.endpoints.acquire());
    owned.releaseAll();
    for (const one of activated) activate(one, this.ledger, this.manager, this.#warn);
    return activated.length > 0;
  }

  /** After {@link acquire}: binds the listeners of the settings, unless they are here. Root ends here. @throws {StartError} */
  declare(): void {
    declareListeners(this.settings, this.ledger);
    this.becomeUser();
    this.endpoints.acceptAdmin();
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
    this.#owner.becameUser();
    for (const { path, text } of checkFileAccess(this.settings, user)) this.#owner.warn('privileges', text, { path });
  }

  /** The incumbent's lock and listeners become ours, also when this throws; the programs get what they wait for. */
  adopt(offered: readonly Offered[], lockFd: number): void {
    using owned = new OwnedFds(offered.map(({ fd }) => fd));
    this.endpoints.pidfile.inherit(lockFd);
    for (const { fd, entry } of offered) this.ledger.inherit(owned.release(fd), entry);
    this.ledger.isShared = true;
    this.endpoints.pidfile.prepare();
    declareListeners(this.settings, this.ledger);
    this.endpoints.prepare();
    this.gate.open();
  }

  /** The incumbent died before its listeners were here: what it held is bound anew. */
  async replaceDead(): Promise<void> {
    await this.endpoints.pidfile.acquireAfterDeath(AFTERLIFE_MS);
    this.endpoints.pidfile.prepare();
    await declareAfterDeath(this.settings, this.ledger);
    this.endpoints.prepare();
    // Its orphaned workers are about to give theirs up.
    this.gate.awaitAddresses(AFTERLIFE_MS);
    this.gate.open();
  }

  /** What became of the incumbent's listeners, once every program has asked for its own. */
  listenerDiff(): ListenerDiff {
    return listenerDiff(this.programListeners(), this.ledger.unused(), this.usedByIncumbentOnly());
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
    this.endpoints.publish();
    this.manager.becomeMain();
    for (const { heldAs, key, service } of this.ledger.all()) {
      const isUnits = heldAs !== null && !isStoreName(heldAs);
      if (isUnits && service === null)
        this.#warn(`${heldAs} (${key}) is passed to us, but no program listens on it: clients wait`);
    }
  }

  /** Listeners that a program of the incumbent has used and none here does, declared or not. */
  usedByIncumbentOnly(): Listener[] {
    return this.ledger.all().filter(({ wasLateBy, isUsed }) => wasLateBy !== null && !isUsed);
  }

  /** What programs serve on, or may: all but the admin listener. */
  programListeners(): Listener[] {
    return this.ledger.all().filter(({ service }) => service !== ADMIN);
  }

  /** While listeners change hands: what workers ask for waits for the outcome. */
  freeze(): void {
    this.gate.hold();
  }

  /** After a hand-over that did not happen, or is taken back. Programs may open a debugger again. */
  thaw(): void {
    this.gate.open();
    this.fleet.thawed();
    this.fleet.openInspectors(true);
  }

  /**
   * Accepts again, and takes back what the successor may have taken already.
   * @throws {MotyaError} the pidfile or the control socket cannot be had back; it accepts all the same.
   */
  async takeBack(): Promise<void> {
    // Clients first.
    const accepting = this.fleet.accept();
    this.endpoints.acceptAdmin();
    await within(ACCEPT_MS, accepting);
    this.endpoints.reclaim();
  }

  /** After {@link takeBack} from a successor that was the main process: the service manager knows. */
  becomeMainAgain(): void {
    this.manager.becomeMain();
    this.manager.follow(this.ledger);
  }

  /** After a hand-over that is taken back: all but the open connections, and what it has {@link added}, is the incumbent's. */
  handBack(incumbent: number): void {
    this.gate.guardPaths(this.ledger.unixPaths());
    this.gate.shut();
    this.endpoints.pauseAdmin();
    // The service manager is to forget what only this instance has, and to keep the rest.
    for (const listener of this.added) this.manager.removed(listener, { isShared: false });
    this.manager.handedTo(incumbent);
    for (const listener of this.ledger.all()) if (listener.inherited) this.ledger.remove(listener, { unlink: false });
    // Not removed: it is the incumbent's business from here.
    this.endpoints.pidfile.letGo();
    this.endpoints.standAside();
  }

  /** Those that came neither from an incumbent nor from a service manager. */
  get added(): Listener[] {
    return this.ledger.all().filter(({ inherited }) => !inherited);
  }

  /** Lets listeners run dry that are not wanted any more, and closes them: no client is reset. Programs cannot listen any more. */
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
    if (listeners.some(({ service }) => service === ADMIN)) this.endpoints.pauseAdmin();
    for (const listener of listeners) this.ledger.remove(listener, { unlink: ours.includes(listener) });
  }

  /** Connections that its workers have accepted on these listeners; null: one of them does not answer. */
  async #acceptedOn(listeners: readonly Listener[]): Promise<number | null> {
    const counts = await this.fleet.countListeners(listeners.map(({ key }) => key));
    if (!listeners.every(({ users }) => counts.answered(users))) return null;
    return listeners.reduce((sum, { key }) => sum + counts.acceptedSince(new ListenerCounts(), key), 0);
  }

  /** After a hand-over: all but the open connections is the successor's. */
  giveAway(): void {
    // A program of ours that unlinks its socket when it ends must not take the successor's path.
    this.gate.guardPaths(this.ledger.unixPaths());
    this.gate.shut();
    this.ledger.removeAll({ unlink: false });
    // It names the successor by now; if it still names us, the successor has another one.
    this.endpoints.pidfile.release();
    this.endpoints.standAside();
  }

  /** At a stop: clients are refused from here on, and no program may listen any more. Status and metrics are answered to the end. */
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
    this.endpoints.pauseAdmin();
    this.ledger.removeAll(options);
    this.endpoints.pidfile.release();
    this.endpoints.closeControl();
  }

  /** After a failed start: what was bound goes, what the incumbent gave stays its own. */
  async abandon(): Promise<void> {
    this.ledger.abandonAll();
    this.endpoints.disconnect();
    // Its programs have served no client: the grace of the settings may be long, and the next upgrade waits.
    await this.#fleet?.drain({ cut: Promise.resolve(), mostGrace: ABANDON_MS });
    this.#fleet?.closeOutput();
    asUser(this.settings.user, () => this.endpoints.pidfile.letGo());
  }
}
