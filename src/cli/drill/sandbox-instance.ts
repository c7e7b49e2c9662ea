import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { perKind } from '../../base/drain-kinds.js';
import { isSystemError, MotyaError } from '../../base/errors.js';
import { isProtectedPath } from '../../base/os/create-for-user.js';
import { typedInvocation } from '../../base/os/invocation.js';
import { launch, outcomeError } from '../../base/os/launch.js';
import { OwnedFds } from '../../base/os/owned-fds.js';
import { controlSocketOf } from '../../base/os/paths.js';
import { temporaryDirectory } from '../../base/os/places.js';
import { asUser, isToDrop } from '../../base/os/privileges.js';
import { SANDBOX_ENV, sandboxText } from '../../config/sandbox.js';
import type { Settings } from '../../config/settings.js';
import type { SettingsInput } from '../../config/settings-schema.js';
import { DRILL_END_MS, DRILL_PROBATION_MS } from './drill-limits.js';
import { endAllIn } from './sandbox-processes.js';

const CLI = fileURLToPath(new URL('../../motya.cjs', import.meta.url));
/** Variables that would change what an instance does, or which service manager it notifies. */
const FOREIGN = /^(MOTYA_(?!NODE_OPTIONS$)|LISTEN_|WATCHDOG_|NOTIFY_SOCKET$|RUNTIME_DIRECTORY$)/;

/** What the recorder (drill-recorder.cts) has programCalls the program do. */
export interface Seen {
  readonly pid: number;
  readonly what: 'exit' | 'close';
  /** Such as `/srv/server.js:12`. */
  readonly place: string;
  /** The program had got SIGTERM. */
  readonly afterSigterm: boolean;
}

/** A line of the log of the instances. */
export interface LogLine {
  readonly event?: string;
  readonly generation?: number;
  readonly [field: string]: unknown;
}

/**
 * The instances of a drill, in a directory with settings, sockets and logs of their own. Instances and programs write into a directory
 * inside it that belongs to `user`. Root acts there only as that user (see {@link asUser}), so a symlink that the user puts there gains
 * nothing. What root writes is outside, where the user cannot write.
 */
export class SandboxInstance {
  readonly controlSocket: string;
  readonly #directory: string;
  /** Where the instances and programs write. */
  readonly #programDirectory: string;
  readonly #settings: Settings;
  readonly #sandboxId: string;

  constructor(settings: Settings) {
    this.#settings = settings;
    // Programs are told of real paths, so that they compare equal.
    this.#directory = makeDirectory(realpathSync(temporaryDirectory(process.env)), settings);
    this.#programDirectory = join(this.#directory, 'sandbox');
    mkdirSync(this.#programDirectory, 0o700);
    this.#give(this.#programDirectory);
    this.controlSocket = controlSocketOf(join(this.#programDirectory, 'drill.sock'));
    this.#sandboxId = sandboxText({ directory: this.#programDirectory, owner: process.pid });
    this.#within(() => {
      writeFileSync(
        join(this.#programDirectory, 'broken.cjs'),
        "throw new Error('broken on purpose by motya drill');\n",
      );
    });
    this.#writeSettings([]);
  }

  /** The first instance, once it serves. @throws {HandoverError} it does not, and why. */
  async start(): Promise<void> {
    const kept = Object.entries(process.env).filter(([name]) => !FOREIGN.test(name));
    const env = { ...Object.fromEntries(kept), [SANDBOX_ENV]: this.#sandboxId };
    using owned = new OwnedFds();
    const output = owned.own(openSync(join(this.#directory, 'output'), 'a', 0o600));
    const { cwd } = typedInvocation();
    const args = [CLI, 'start', '--config', this.#configFile];
    const { outcome } = launch({ file: process.execPath, args, cwd }, { env: { ...env, PWD: cwd }, output });
    owned.close(output);
    const result = await outcome;
    if (!result.ok) throw outcomeError(result);
    this.repair();
  }

  /** The next successor's program throws, before anything of it runs. */
  breakNext(): void {
    this.#writeSettings(['--require', join(this.#programDirectory, 'broken.cjs')]);
    this.#give(this.#configFile);
  }

  repair(): void {
    this.#writeSettings([]);
    this.#give(this.#configFile);
  }

  /** What the instances have logged so far. */
  log(): LogLine[] {
    // Not what the programs say: their lines begin with the service.
    return this.#linesOf<LogLine>('log', /^\{"time":"[^"]*","level":/);
  }

  /** The last error that was logged, in one line. */
  lastError(): string {
    const errors = this.log().filter(({ level }) => level === 'error');
    return String(errors.at(-1)?.message ?? 'it logged no error');
  }

  programCalls(): Seen[] {
    return this.#linesOf<Seen>('program-calls', /^\{/);
  }

  /** Ends what still runs, by force where it must, and removes the directory. @returns how many processes had to be killed. */
  async close(): Promise<number> {
    const grace = Math.max(...this.#settings.services.map(({ killGrace }) => killGrace));
    try {
      return await endAllIn(this.#sandboxId, grace + DRILL_END_MS);
    } finally {
      this.#remove();
    }
  }

  get #configFile(): string {
    return join(this.#directory, 'motya.json');
  }

  /** Root gives `path` to the user that the instances become. The user must not have been able to create it. */
  #give(path: string): void {
    const { user } = this.#settings;
    if (isToDrop(user)) chownSync(path, user.uid, user.gid);
  }

  /**
   * A new file each time, because the user may have changed the old one. The first instance reads it as root, so the user gets the
   * file only once that instance serves. Later instances run as the user from their start.
   */
  #writeSettings(nodeArgs: string[]): void {
    const settings = drillSettings(this.#settings, this.#programDirectory, nodeArgs);
    const next = `${this.#configFile}.new`;
    writeFileSync(next, JSON.stringify(settings), { mode: 0o600, flag: 'wx' });
    renameSync(next, this.#configFile);
  }

  #linesOf<T>(name: string, form: RegExp): T[] {
    return this.#within(() => linesOf<T>(join(this.#programDirectory, name), form));
  }

  #remove(): void {
    this.#within(() => {
      for (const name of readdirSync(this.#programDirectory)) {
        rmSync(join(this.#programDirectory, name), { recursive: true, force: true });
      }
    });
    // rmdir(2) follows no symlink, and fails if the user has created something meanwhile.
    this.#within(() => rmdirSync(this.#programDirectory), null);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Works in the programs' directory, as its user. @throws {MotyaError} `ERR_MOTYA_DRILL`: a program has changed the directory. */
  #within<T>(body: () => T, user = this.#settings.user): T {
    try {
      return asUser(user, body);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      const text = `the directory of the drill is not as it was, a program has changed it: ${error.message}`;
      throw new MotyaError('ERR_MOTYA_DRILL', text, { cause: error });
    }
  }
}

/** @throws {MotyaError} `ERR_MOTYA_DRILL`: the user could put another directory in its place. */
function makeDirectory(parent: string, { user }: Settings): string {
  const prefix = join(parent, 'motya-drill-');
  if (!isToDrop(user)) return mkdtempSync(prefix);
  if (!isProtectedPath(prefix, user)) {
    const text = `other users could replace the directory ${parent}; set TMPDIR to a directory of root, such as /tmp`;
    throw new MotyaError('ERR_MOTYA_DRILL', text, { details: { path: parent } });
  }
  const directory = mkdtempSync(prefix);
  // The user goes through it to the settings and to its own directory.
  chmodSync(directory, 0o711);
  return directory;
}

const text = (ms: number): string => `${ms}ms`;

/** The user's settings as far as they concern the programs. Addresses, sockets and files are the drill's own. */
function drillSettings(settings: Settings, directory: string, nodeArgs: string[]): SettingsInput {
  const { user, umask, health, readyTimeout } = settings;
  const services: SettingsInput['services'] = {};
  for (const { name, script, args, cwd, env, workers, ready, ...service } of settings.services) {
    services[name] = {
      script,
      args: [...args],
      cwd,
      env: { ...env },
      workers,
      ready,
      nodeArgs: [...nodeArgs, ...service.nodeArgs],
      drain: perKind((kind) => text(service.drain[kind])),
      killGrace: text(service.killGrace),
    };
  }
  // A URL may lead to the one in production.
  const path = health.path?.startsWith('/') ? { path: health.path } : {};
  return {
    name: 'drill',
    services,
    pidfile: join(directory, 'drill.pid'),
    upgradeSocket: join(directory, 'drill.sock'),
    ...(user === null ? {} : { user: String(user.uid), group: String(user.gid) }),
    ...(umask === null ? {} : { umask: umask.toString(8).padStart(3, '0') }),
    keeper: false,
    readyTimeout: text(readyTimeout),
    probation: text(DRILL_PROBATION_MS),
    health: { ...path, crashes: health.crashes, ...(health.errors === null ? {} : { errors: health.errors }) },
    onQuit: 'start',
    admin: { listen: false },
    log: { level: 'info', format: 'json', file: join(directory, 'log'), programs: 'tagged' },
  };
}

/** Lines of JSON, the whole ones; none without the file. */
function linesOf<T>(path: string, form: RegExp): T[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .slice(0, -1)
      .flatMap((line) => (form.test(line) ? [JSON.parse(line) as T] : []));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
