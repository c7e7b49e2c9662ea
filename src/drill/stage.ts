import { chownSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SettingsInput } from '../config/schema.js';
import type { Settings } from '../config/settings.js';
import { typedInvocation } from '../daemon/invocation.js';
import { launch, outcomeError } from '../daemon/launch.js';
import { controlSocketOf, temporaryFolder } from '../daemon/paths.js';
import { DRILL_END_MS, DRILL_PROBATION_MS } from '../limits.js';
import { native } from '../native.js';
import { endAllIn } from './marked.js';
import { SANDBOX_ENV, sandboxText } from './sandbox-env.js';

const WITNESS = fileURLToPath(new URL('witness.cjs', import.meta.url));
const CLI = fileURLToPath(new URL('../cli.js', import.meta.url));
/** Variables that would change what an instance does or whom it tells of it. */
const FOREIGN = /^(MOTYA_|LISTEN_|WATCHDOG_|NOTIFY_SOCKET$|RUNTIME_DIRECTORY$)/;

/** What the witness (witness.cts) has seen the program do. */
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

/** Where a drill takes place: a folder with settings, sockets and logs of its own, and the instances that run in it. */
export class Stage {
  readonly folder: string;
  readonly controlSocket: string;
  readonly #settings: Settings;
  readonly #mark: string;

  constructor(settings: Settings) {
    this.#settings = settings;
    // Programs are told of real paths, so that they compare equal.
    this.folder = realpathSync(mkdtempSync(join(temporaryFolder(process.env), 'motya-drill-')));
    this.controlSocket = controlSocketOf(this.#path('drill.sock'));
    this.#mark = sandboxText({ folder: this.folder, owner: process.pid });
    writeFileSync(this.#path('broken.cjs'), "throw new Error('broken on purpose by motya drill');\n");
    this.mend();
    this.#own('');
    this.#own('broken.cjs');
  }

  /** The first instance, once it serves. @throws {HandoverError} it does not, and why. */
  async start(): Promise<void> {
    const kept = Object.entries(process.env).filter(([name]) => !FOREIGN.test(name));
    const env = { ...Object.fromEntries(kept), [SANDBOX_ENV]: this.#mark };
    const output = openSync(this.#path('output'), 'a', 0o600);
    const { cwd } = typedInvocation();
    const args = [CLI, 'start', '--config', this.#path('motya.json')];
    const { outcome } = launch({ file: process.execPath, args, cwd }, { env: { ...env, PWD: cwd }, output });
    native.close(output);
    const result = await outcome;
    if (!result.ok) throw outcomeError(result);
  }

  /** The next successor's program throws, before anything of it runs. */
  breakNext(): void {
    this.#writeSettings(['--require', this.#path('broken.cjs')]);
  }

  mend(): void {
    this.#writeSettings([]);
  }

  /** What the instances have logged so far. */
  log(): LogLine[] {
    // Not what the programs say: their lines begin with the service.
    return linesOf<LogLine>(this.#path('log'), /^\{"time":"[^"]*","level":/);
  }

  /** The last thing that went wrong, in a line. */
  lastWords(): string {
    const errors = this.log().filter(({ level }) => level === 'error');
    return String(errors.at(-1)?.message ?? 'it said nothing');
  }

  seen(): Seen[] {
    return linesOf<Seen>(this.#path('witness'), /^\{/);
  }

  /** Ends what still runs, by force where it must, and removes the folder. @returns how many processes had to be killed. */
  async close(): Promise<number> {
    const grace = Math.max(...this.#settings.services.map(({ killGrace }) => killGrace));
    try {
      return await endAllIn(this.#mark, grace + DRILL_END_MS);
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  #path(name: string): string {
    return join(this.folder, name);
  }

  /** Root makes the stage for the user that the instances become. */
  #own(name: string): void {
    const { user } = this.#settings;
    if (user !== null && process.geteuid?.() === 0) chownSync(this.#path(name), user.uid, user.gid);
  }

  #writeSettings(nodeArgs: string[]): void {
    const settings = drillSettings(this.#settings, this.folder, ['--require', WITNESS, ...nodeArgs]);
    writeFileSync(this.#path('motya.json'), JSON.stringify(settings), { mode: 0o600 });
    this.#own('motya.json');
  }
}

const text = (ms: number): string => `${ms}ms`;

/** The user's settings, as far as they are about the programs; all that others could meet is the drill's own. */
function drillSettings(settings: Settings, folder: string, nodeArgs: string[]): SettingsInput {
  const { user, umask, health, drainTimeout, readyTimeout } = settings;
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
      drainTimeout: text(service.drainTimeout),
      killGrace: text(service.killGrace),
    };
  }
  // A URL may lead to the one in production.
  const path = health.path?.startsWith('/') ? { path: health.path } : {};
  return {
    name: 'drill',
    services,
    pidfile: join(folder, 'drill.pid'),
    upgradeSocket: join(folder, 'drill.sock'),
    ...(user === null ? {} : { user: String(user.uid), group: String(user.gid) }),
    ...(umask === null ? {} : { umask: umask.toString(8).padStart(3, '0') }),
    supervise: false,
    drainTimeout: text(drainTimeout),
    readyTimeout: text(readyTimeout),
    probation: text(DRILL_PROBATION_MS),
    health: { ...path, crashes: health.crashes, ...(health.errors === null ? {} : { errors: health.errors }) },
    onQuit: 'start',
    admin: { listen: false },
    log: { level: 'info', format: 'json', file: join(folder, 'log'), programs: 'tagged' },
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
