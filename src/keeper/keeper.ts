import { constants } from 'node:os';
import { inBackground } from '../base/background.js';
import { Backoff } from '../base/backoff.js';
import type { FailureCode } from '../base/error-catalog.js';
import { failureFields, isSystemError, MotyaError, reasonOf, type Warn } from '../base/errors.js';
import { MANAGER_VARIABLES, takeActivated } from '../base/os/activation.js';
import { typedInvocation } from '../base/os/invocation.js';
import { type Launched, launch, report } from '../base/os/launch.js';
import { native } from '../base/os/native.js';
import { NotifySocket } from '../base/os/notify-socket.js';
import { readPid } from '../base/os/pidfile.js';
import type { Settings } from '../config/settings.js';
import type { Logger } from '../logging/log.js';
import { STOPPED, statusOf, wayOf } from './ended-child.js';
import { keeperEnvironment } from './keeper-choice.js';
import { type Crash, KeeperSocket, stateText } from './keeper-socket.js';
import { forward } from './notify-forward.js';
import { type Notification, NotifyReceiver } from './notify-receiver.js';
import { Orphans } from './orphans.js';
import { StoredFds } from './stored-fds.js';
import { Succession } from './succession.js';
import { WatchedProcess } from './watched-process.js';

/** ms that a keeper gives a generation before the one that crashed to take the service back: it needs a few. */
const TAKE_BACK_MS = 500;

const { SIGKILL, SIGQUIT, SIGTERM } = constants.signals;

type Failure = Readonly<{ code: FailureCode; text: string }>;

/**
 * The stable parent of instances that replace one another: PID 1 of a container, or the process that another supervisor or a shell
 * watches. It runs no user code and serves no clients. It holds copies of the listeners (the manager's side of sd_notify(3)), starts
 * a new instance with them when the main one crashes, reaps orphans, and passes signals on.
 */
export class Keeper {
  readonly #settings: Settings;
  readonly #log: Logger;
  /** Our own service manager, if we have one. */
  readonly #above: NotifySocket;
  readonly #receiver: NotifyReceiver;
  readonly #stored = new StoredFds();
  readonly #succession = new Succession();
  readonly #backoff = new Backoff();
  readonly #orphans = new Orphans();
  readonly #env: NodeJS.ProcessEnv;
  #launched: Launched | null = null;
  #mainSince = 0;
  /** An instance has served: from then on one that ends is started again. */
  #hasServed = false;
  /** SIGQUIT has come while no instance served. */
  #mustUpgrade = false;
  #restart: NodeJS.Timeout | undefined;
  /** Why there was a crash, and when (performance.now()) another instance is started. */
  #crash: Crash | null = null;
  readonly #socket: KeeperSocket;
  #watched: WatchedProcess | null = null;
  #failure: Failure | null = null;
  /** How often we were told to stop. */
  #stops = 0;
  /** Exit status to end with; null while there is something to keep. */
  #status: number | null = null;
  #end!: (status: number) => void;
  /** Resolves with the exit status when nothing is left. */
  readonly ended = new Promise<number>((resolve) => {
    this.#end = resolve;
  });

  constructor(settings: Settings, log: Logger) {
    this.#settings = settings;
    this.#log = log;
    const warn: Warn = (text, fields) => this.#warn(text, fields);
    this.#above = new NotifySocket(process.env, warn);
    for (const { name, fd } of takeActivated(process.env, warn)) this.#stored.add(name, [fd]);
    native.children.becomeSubreaper();
    this.#receiver = new NotifyReceiver((notification) => this.#receive(notification), warn);
    const env = { ...process.env };
    for (const name of MANAGER_VARIABLES) delete env[name];
    const { WATCHDOG_USEC } = process.env;
    if (WATCHDOG_USEC !== undefined) env.WATCHDOG_USEC = WATCHDOG_USEC;
    this.#socket = new KeeperSocket(settings, { state: () => stateText(this.#crash), stop: () => this.stop(), warn });
    this.#env = { ...env, ...keeperEnvironment(), NOTIFY_SOCKET: this.#receiver.address };
  }

  /** Why no instance has ever served; null: one has, or it was stopped before. */
  get failure(): Failure | null {
    return this.#failure;
  }

  /** Starts the first instance. The handlers of signals must be in place: SIGCHLD tells of its end. */
  start(): void {
    this.#log.info(`the keeper (pid ${process.pid}) starts the instance and stays`, { event: 'keeper' });
    this.#start();
  }

  /** SIGCHLD: children have ended. */
  reap(): void {
    this.#receiver.drain();
    const { ended, left } = native.children.reap();
    for (const child of ended) this.#instanceEnded(child.pid, statusOf(child), wayOf(child));
    this.#orphans.reaped(left);
  }

  /** SIGQUIT: the main instance hands over to its successor, as soon as it serves: before it has its handlers, the signal would end it. */
  upgrade(): void {
    const { main } = this.#succession;
    this.#mustUpgrade = main === null || !this.#succession.isReady(main);
    if (main !== null && !this.#mustUpgrade) this.#signal(main, SIGQUIT);
  }

  /** The launcher has gone. Stops the keeper, unless an instance has served. */
  giveUp(): void {
    if (!this.#hasServed) this.stop();
  }

  /** To the instances that serve or drain. */
  pass(signal: NodeJS.Signals): void {
    for (const pid of this.#succession.living) {
      if (this.#succession.isReady(pid)) this.#signal(pid, constants.signals[signal]);
    }
  }

  /** SIGTERM, SIGINT: the instances stop gracefully; a second time: now; a third time they are killed. */
  stop(): void {
    this.#stops += 1;
    clearTimeout(this.#restart);
    if (this.#stops === 1) this.#log.info('the keeper was told to stop', { event: 'keeper-stops' });
    for (const pid of this.#succession.living) this.#signal(pid, this.#stops > 2 ? SIGKILL : SIGTERM);
    this.#orphans.hurry();
    if (this.#succession.main === null) this.#finish(0);
  }

  #start(): void {
    try {
      const passed = this.#stored.all();
      this.#launched = launch(typedInvocation(), { env: this.#env, output: 'inherit', passed });
    } catch (error) {
      // Later it is tried again: Node may be away for a moment, while it is being replaced.
      if (this.#hasServed) this.#startAgain(reasonOf(error));
      else this.#neverServed(error instanceof MotyaError ? error.code : 'ERR_MOTYA_LAUNCH', reasonOf(error), 1);
      return;
    }
    const { pid, outcome } = this.#launched;
    this.#succession.started(pid);
    this.#mainSince = performance.now();
    const reported = outcome.then((result) => {
      if (!result.ok) return;
      this.#serves(pid);
      report(result);
    });
    inBackground('the report of an instance', reported);
  }

  #serves(pid: number): void {
    this.#succession.ready(pid);
    this.#hasServed = true;
    this.#crash = null;
    this.#socket.close();
    if (this.#mustUpgrade && pid === this.#succession.main) this.upgrade();
  }

  #receive({ sender, fields, fds }: Notification): void {
    const before = this.#succession.main;
    const named = Number(fields.get('MAINPID'));
    if (Number.isSafeInteger(named) && named > 0) this.#names(sender, named);
    const isInstance = this.#succession.living.includes(sender);
    if (isInstance && fields.get('FDSTORE') === '1') this.#store(fields.get('FDNAME'), fds);
    // What comes with BARRIER=1 asks whether we have read all so far: that it is closed is the answer.
    else for (const fd of fds) native.fd.close(fd);
    if (!isInstance) return;
    if (fields.get('FDSTOREREMOVE') === '1') this.#stored.remove(fields.get('FDNAME'));
    if (fields.get('READY') === '1') this.#serves(sender);
    if (fields.get('STOPPING') === '1') this.#succession.stops(sender);
    // From here on clients must be refused. They must not wait in a backlog that no process will accept.
    if (this.#succession.isStopping) this.#stored.close();
    if (sender === before || sender === this.#succession.main) forward(fields, this.#above);
  }

  #store(name: string | undefined, fds: readonly number[]): void {
    const refused = this.#stored.add(name, fds);
    if (refused > 0) this.#warn(`the keeper has no room for ${name}: after a crash its clients would be refused`);
  }

  #names(by: number, pid: number): void {
    const before = this.#succession.main;
    this.#succession.names(by, pid);
    if (this.#succession.main !== before) this.#mainIs(pid);
  }

  #mainIs(pid: number): void {
    clearTimeout(this.#restart);
    this.#mainSince = performance.now();
    this.#log.info(`pid ${pid} is the main process`, { event: 'keeper-main', main: pid });
    if (!native.children.signal(pid, 0)) this.#watch(pid);
    // It was named after all other instances had been told to stop.
    if (this.#stops > 0) this.#signal(pid, SIGTERM);
  }

  #watch(pid: number): void {
    this.#watched?.close();
    this.#watched = null;
    try {
      this.#watched = new WatchedProcess(pid, () => this.#watchedEnded(pid));
      this.#succession.ready(pid);
      this.#warn(`pid ${pid} is not a child of the keeper, which will not see its exit status`);
    } catch (error) {
      if (isSystemError(error) && error.code === 'ESRCH') this.#watchedEnded(pid);
      else
        this.#warn(
          `pid ${pid} is not a child of the keeper and cannot be watched: ${reasonOf(error)}`,
          failureFields(error),
        );
    }
  }

  /** Its exit status is unknown, so its pidfile decides. It still names the process after a crash, or its successor; after a stop it is gone. */
  #watchedEnded(pid: number): void {
    this.#watched = null;
    const named = readPid(this.#settings.pidfile);
    if (named !== null && named !== pid) this.#names(pid, named);
    this.#instanceEnded(pid, named === null ? 0 : 1, 'it is gone');
  }

  #instanceEnded(pid: number, status: number, how: string): void {
    const before = this.#succession.main;
    // An instance that was told to stop before it had served counts as stopped, whatever its exit status.
    const isStopped = this.#stops > 0 && (status === STOPPED || !this.#succession.isReady(pid));
    const verdict = this.#succession.ended(pid, status === 0);
    const { main } = this.#succession;
    if (main !== null && main !== before) this.#mainIs(main);
    if (verdict === 'nothing') this.#settle();
    else if (!this.#hasServed) inBackground('the end of the first instance', this.#firstEnded(status, how));
    else if (verdict === 'end' || this.#stops > 0) this.#finish(isStopped ? 0 : status);
    else this.#startAgain(`pid ${pid} ended: ${how}`);
  }

  /** The first instance has ended before it was known to serve. Its report, if any, is on the pipe. */
  async #firstEnded(status: number, how: string): Promise<void> {
    const outcome = await this.#launched?.outcome;
    if (outcome?.ok === false) {
      const { code } = outcome;
      const text = code === 'ERR_MOTYA_INSTANCE_DIED' ? `the instance ended: ${how}` : outcome.text;
      this.#failure = { code, text };
      // An instance that failed has logged the reason itself; one that was killed has not.
      if (code === 'ERR_MOTYA_INSTANCE_DIED') this.#log.error(text, { event: 'failed', code });
      report(outcome);
      this.#finish(status);
    } else if (status === 0 || this.#stops > 0) this.#finish(status);
    else this.#startAgain(how);
  }

  #neverServed(code: FailureCode, text: string, status: number): void {
    this.#failure = { code, text };
    this.#log.error(text, { event: 'failed', code });
    report({ ok: false, code, text });
    this.#finish(status);
  }

  #startAgain(why: string): void {
    const backoff = this.#backoff.next(performance.now() - this.#mainSince);
    // A draining generation that can take the service back does so at once.
    const inMs = this.#succession.living.length > 0 ? Math.max(backoff, TAKE_BACK_MS) : backoff;
    const text = `${why}; another instance starts in ${inMs} ms, clients wait for it`;
    this.#log.error(text, { event: 'instance-exit', inMs, listeners: this.#stored.all().length });
    this.#crash = { why, until: performance.now() + inMs };
    this.#socket.open();
    this.#restart = setTimeout(() => this.#start(), inMs);
  }

  #finish(status: number): void {
    this.#status ??= status;
    this.#stored.close();
    this.#settle();
  }

  /** The end, once the instances that drain have ended too. */
  #settle(): void {
    const status = this.#status;
    if (status === null || this.#succession.living.length > 0) return;
    this.#orphans.clear(() => {
      this.#receiver.close();
      this.#socket.end();
      this.#end(status);
    });
  }

  #signal(pid: number, signal: number): void {
    try {
      if (this.#watched?.pid === pid) this.#watched.signal(signal);
      else native.children.signal(pid, signal);
    } catch (error) {
      this.#warn(`pid ${pid} cannot be signalled: ${reasonOf(error)}`, failureFields(error));
    }
  }

  #warn(text: string, fields?: object): void {
    this.#log.warn(text, { event: 'keeper', ...fields });
  }
}
