import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { requestStatus, WedgedError } from '#src/control/client.js';
import type { Status } from '#src/status/status-document.js';
import { Child, type Exit, type LogLine, parseLogs } from './child.js';
import { allGone, MARKER, markedProcesses, STOP_MS, stopMarked } from './marked.js';
import { CLI } from './paths.js';
import { DEADLINE_MS, until } from './until.js';

export interface StartOptions {
  /** Default: the directory of the workspace. */
  readonly cwd?: string;
  /** Added to the environment of the workspace; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Path of the `node` to use; default: the one that runs the test. */
  readonly node?: string;
  /** Path of the `motya` command; default: the one of this repository. */
  readonly cli?: string;
  /** ms after which {@link Workspace.run} gives up. */
  readonly deadline?: number;
}

export interface Result extends Exit {
  readonly stdout: string;
  readonly stderr: string;
  readonly logs: readonly LogLine[];
}

/** `motya status --json`. Its fields are what the command writes; a test names the ones it reads. */
export interface StatusView {
  readonly generation: number;
  readonly pid: number;
  readonly phase: string;
  readonly [field: string]: unknown;
}

/** Variables of the caller that would change what the processes of a test do. */
const FOREIGN =
  /^(MOTYA_|LISTEN_|NOTIFY_|NODE_TEST|NODE_OPTIONS$|NODE_CHANNEL|RUNTIME_DIRECTORY$|INVOCATION_ID$|PORT$|HOST$)/;

/** A directory of its own and the processes started in it. All of them, and all that they start, bear its marker. */
export class Workspace {
  readonly dir: string;
  /** The default paths of instances are in its `motya`: nobody else's instances are there. */
  readonly runtimeDir: string;
  readonly env: NodeJS.ProcessEnv;
  /** Value of {@link MARKER} in the environment of every process of this workspace. */
  readonly id: string;
  /** Options of node for every `motya` here; those of NODE_OPTIONS are the programs' alone. */
  readonly nodeArgs: string[] = [];
  readonly #started: Child[] = [];

  constructor() {
    // Short, for paths of unix sockets have 107 bytes.
    this.dir = mkdtempSync(join(tmpdir(), 'motya-'));
    this.runtimeDir = join(this.dir, 'run');
    mkdirSync(this.runtimeDir, { mode: 0o700 });
    this.id = `${process.env[MARKER] ?? process.pid}.${randomBytes(6).toString('hex')}`;
    const kept = Object.entries(process.env).filter(([name]) => !FOREIGN.test(name));
    this.env = {
      ...Object.fromEntries(kept),
      [MARKER]: this.id,
      RUNTIME_DIRECTORY: join(this.runtimeDir, 'motya'),
      HOME: this.dir,
      PWD: this.dir,
      // Tests wait for steps.
      MOTYA_LOG_LEVEL: 'debug',
      // What is tested is over when the command says so; the tests of the probation have one.
      MOTYA_PROBATION: '0',
      // Who tests as root means it.
      ...(process.getuid?.() === 0 ? { MOTYA_USER: 'root' } : {}),
    };
  }

  path(...names: string[]): string {
    return join(this.dir, ...names);
  }

  /** Writes a file of the workspace and returns its path. */
  write(name: string, content: string): string {
    const path = this.path(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    return path;
  }

  /** Starts `motya ...args`. */
  motya(args: readonly string[], options: StartOptions = {}): Child {
    return this.start(options.node ?? process.execPath, [...this.nodeArgs, options.cli ?? CLI, ...args], options);
  }

  /** Starts `node ...args`, for example a fixture without Motya. */
  node(args: readonly string[], options: StartOptions = {}): Child {
    return this.start(options.node ?? process.execPath, args, options);
  }

  start(command: string, args: readonly string[], options: StartOptions = {}): Child {
    const cwd = options.cwd ?? this.dir;
    const env = { ...this.env, PWD: cwd, ...options.env };
    const child = new Child(command, args, this.path(`process-${this.#started.length}`), cwd, env);
    this.#started.push(child);
    return child;
  }

  /** Runs `motya ...args` to its end. */
  async run(args: readonly string[], options: StartOptions = {}): Promise<Result> {
    const child = this.motya(args, options);
    const exit = await child.waitForExit({ deadline: options.deadline ?? DEADLINE_MS });
    return { ...exit, stdout: child.stdout, stderr: child.stderr, logs: child.logs };
  }

  /** `motya status --json ...args`; fails if the command does. */
  async status<T extends StatusView>(args: readonly string[] = [], options: StartOptions = {}): Promise<T> {
    const { code, stdout, stderr } = await this.run(['status', '--json', ...args], options);
    if (code !== 0) throw new Error(`motya status ended with ${code}: ${stderr}${stdout}`);
    return JSON.parse(stdout) as T;
  }

  /** What `motya status --json --name NAME` writes, without a process for the question: for who asks again and again. */
  async ask(name: string): Promise<Status> {
    const answer = (): Promise<Status | null> =>
      requestStatus(`${this.runtimeDir}/motya/${name}.control.sock`).catch((error) => {
        // A machine that is busy for GREETING_MS.
        if (error instanceof WedgedError) return null;
        throw error;
      });
    return until(answer, { what: `an answer of ${name}` });
  }

  /** Pids of all processes that were started in this workspace, by whomever, and still run. */
  processes(): number[] {
    return markedProcesses(this.id);
  }

  /** Waits until no process of this workspace runs any more. */
  async nothingLeft(deadline = DEADLINE_MS): Promise<void> {
    await allGone(this.id, deadline);
  }

  /**
   * Ends what runs and removes the directory. Instances and processes that the test itself started are asked to stop; what
   * they leave behind (a worker without supervisor, say) is killed and makes this throw. `stopMs`: what each of two signals
   * is given to work.
   */
  async close(stopMs = STOP_MS): Promise<void> {
    const own = this.#started.filter((child) => child.exit === undefined);
    const left = await stopMarked(this.id, new Set(own.map((child) => child.pid)), stopMs);
    await Promise.all(own.map((child) => child.exited));
    rmSync(this.dir, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`processes were left behind:\n${left.join('\n')}`);
  }
}

/** A workspace that is closed after the test. */
export function workspace(test: TestContext): Workspace {
  const space = new Workspace();
  test.after(() => space.close());
  return space;
}

/** The pid in a pidfile; undefined if there is no such file. Throws if it holds anything but digits and a newline. */
export function readPidfile(path: string): number | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  if (!/^[1-9]\d*\n$/.test(text)) throw new Error(`pidfile ${path} holds ${JSON.stringify(text)}`);
  return Number(text);
}

/** The JSON log lines of a log file; none if there is no such file. */
export function readLogFile(path: string): LogLine[] {
  try {
    return parseLogs(readFileSync(path, 'utf8').split('\n'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
