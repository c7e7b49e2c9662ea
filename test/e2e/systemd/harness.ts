import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT } from '../harness/index.js';
import type { LoadOptions, MarkedLoad } from '../load/load.js';
import { startLoadProcess } from '../load/process.js';
import type { Ran } from './agent.js';
import { Inside } from './inside.js';

const SCRIPT = `${ROOT}scripts/systemd-sandbox.sh`;
/** Where the repository's compiled parts are in a sandbox, as an installed package would be. */
const INSTALLED = '/opt/motya';
const PARTS = ['dist', 'dist-test', 'build', 'prebuilds', 'test', 'examples', 'package.json', 'node_modules'];

/** A machine to boot: this one (systemd 252 on Debian 12), or a Debian 13 tree (systemd 257). */
export const SYSTEMS = ['host', 'debian-13'] as const;
export type System = (typeof SYSTEMS)[number];

/** Built once, outside the repository. */
const TREE = join(
  process.env.SYSTEMD_SANDBOX_CACHE ?? join(process.env.XDG_CACHE_HOME ?? '/var/cache', 'motya-tests'),
  'debian-13',
);

/** What is missing to boot `system` here, or null. Builds the tree (30 s) when it is not there yet. */
export function missing(system: System): string | null {
  try {
    execFileSync(SCRIPT, ['check', '/'], { encoding: 'utf8', stdio: 'pipe' });
    if (system === 'debian-13') execFileSync(SCRIPT, ['tree', TREE], { encoding: 'utf8', stdio: 'pipe' });
    return null;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    const what = `needs a real systemd (${system}), whose sandbox lacks ${(stdout || stderr).trim()}`;
    if (process.env.SYSTEMD_SANDBOX_REQUIRED) throw new Error(what, { cause: error });
    return what;
  }
}

/** A booted systemd in namespaces of its own, with a network of its own. */
export class Sandbox {
  readonly #process: ChildProcess;
  /** What to put before a command that is to run inside. */
  readonly #enter: readonly string[];
  readonly #inside: Inside;
  /** Path of its `/` for us. */
  readonly #root: string;
  /** systemd's version, such as 252. */
  version = 0;

  private constructor(process_: ChildProcess, pid: string, cgroup: string) {
    this.#process = process_;
    this.#enter = [SCRIPT, 'enter', pid, cgroup];
    this.#inside = new Inside([...this.#enter, 'node', `${INSTALLED}/dist-test/e2e/systemd/agent.js`]);
    this.#root = `/proc/${pid}/root`;
  }

  static async boot(system: System): Promise<Sandbox> {
    const binds = PARTS.filter((part) => existsSync(ROOT + part)).map(
      (part) => `${realpathSync(ROOT + part)}:${INSTALLED}/${part}`,
    );
    const root = system === 'host' ? '/' : TREE;
    const booted = spawn(SCRIPT, ['boot', root, `${realpathSync(process.execPath)}:/usr/bin/node`, ...binds], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    // It goes when its stdin is closed, also by our end; by itself it is nothing to wait for.
    booted.unref();
    const [line] = await Promise.race([
      once(createInterface(booted.stdout), 'line') as Promise<[string]>,
      once(booted, 'exit').then(() => {
        throw new Error(`the sandbox (${system}) did not boot`);
      }),
    ]);
    const [pid = '', cgroup = ''] = line.split(' ');
    const sandbox = new Sandbox(booted, pid, cgroup);
    await sandbox.run('ln', '-sfn', `${INSTALLED}/dist/motya.cjs`, '/usr/bin/motya');
    sandbox.version = Number(/^systemd (\d+)/.exec((await sandbox.run('systemctl', '--version')).stdout)?.[1]);
    return sandbox;
  }

  async close(): Promise<void> {
    await this.#inside.close();
    const exited = once(this.#process, 'exit');
    this.#process.ref();
    this.#process.stdin?.end();
    await exited;
  }

  /** Runs a command inside, as root and in no unit. Never rejects because of its exit status; 124: it took too long. */
  run(...command: readonly string[]): Promise<Ran> {
    return this.#inside.ask({ command });
  }

  systemctl(...args: readonly string[]): Promise<Ran> {
    return this.run('systemctl', ...args);
  }

  /** As {@link systemctl}, for what must work. */
  async manage(...args: readonly string[]): Promise<void> {
    const { code, stderr } = await this.systemctl(...args);
    if (code !== 0)
      throw new Error(`systemctl ${args.join(' ')} ended with ${code}: ${stderr}\n${await this.journal()}`);
  }

  /** The properties of a unit, as `systemctl show` tells them. */
  async show<Name extends string>(unit: string, ...names: readonly Name[]): Promise<Record<Name, string>> {
    const { stdout } = await this.systemctl('show', unit, '--property', names.join(','));
    const pairs = stdout.split('\n').filter((line) => line.includes('='));
    return Object.fromEntries(
      pairs.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    ) as Record<Name, string>;
  }

  /** Where the journal ends now, for {@link journal}. */
  async mark(): Promise<string> {
    await this.run('journalctl', '--sync');
    const { stdout } = await this.run('journalctl', '-n', '0', '--show-cursor');
    return /^-- cursor: (.*)$/m.exec(stdout)?.[1] ?? '';
  }

  /** What the journal has, PID 1's own lines too, after a mark. */
  async journal(after?: string): Promise<string> {
    await this.run('journalctl', '--sync');
    return this.lines(after);
  }

  /** As {@link journal}, without what is on its way to it: for who asks again and again. */
  async lines(after?: string): Promise<string> {
    const since = after === undefined ? ['-n', '60'] : ['--after-cursor', after];
    return (await this.run('journalctl', '-o', 'short-monotonic', '--no-pager', ...since)).stdout;
  }

  write(path: string, content: string): void {
    mkdirSync(dirname(this.#root + path), { recursive: true });
    writeFileSync(this.#root + path, content);
  }

  /** The text of a file inside, or null. */
  read(path: string): string | null {
    try {
      return readFileSync(this.#root + path, 'utf8');
    } catch {
      return null;
    }
  }

  list(path: string): string[] {
    return existsSync(this.#root + path) ? readdirSync(this.#root + path) : [];
  }

  remove(path: string): void {
    rmSync(this.#root + path, { recursive: true, force: true });
  }

  /** The load driver, as a process inside: only there are the ports. */
  load(options: LoadOptions): MarkedLoad {
    const driver = ['node', `${INSTALLED}/dist-test/e2e/load/cli.js`];
    return startLoadProcess(options, process.env, [...this.#enter, ...driver]);
  }

  /** A GET on a connection of its own: the body, or the error's code. Once the answer has begun there is the file `begun`. */
  async get(port: number, path = '/', begun = '/dev/null'): Promise<string> {
    return (await this.#inside.ask({ port, path, begun })).stdout.trim();
  }
}
