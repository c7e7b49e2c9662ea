import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { type UntilOptions, until } from './until.js';

/** One line of Motya's JSON log. */
export interface LogLine {
  readonly time: string;
  readonly level: string;
  readonly message: string;
  /** Stable name of what happened, for example `serving`. */
  readonly event?: string;
  readonly [field: string]: unknown;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface WaitOptions extends Partial<UntilOptions> {
  /** Go on waiting after the process has ended: its own children may write to the same output. */
  readonly evenAfterExit?: boolean;
  /** Look only at lines after this many. */
  readonly from?: number;
}

/**
 * A process whose output goes into files, not pipes: at its exit everything is there, and a child of its own that
 * outlives it keeps nothing open here. Its descendants that inherit the output write into the same files.
 */
export class Child {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  readonly stdoutFile: string;
  readonly stderrFile: string;
  readonly #command: string;
  readonly #process: ChildProcess;
  #exit: Exit | undefined;

  /** `outputs` is the path that both files of the output begin with. Throws if the command cannot be started. */
  constructor(command: string, args: readonly string[], outputs: string, cwd: string, env: NodeJS.ProcessEnv) {
    this.stdoutFile = `${outputs}.stdout`;
    this.stderrFile = `${outputs}.stderr`;
    this.#command = [command, ...args].join(' ');
    const stdout = openSync(this.stdoutFile, 'a');
    const stderr = openSync(this.stderrFile, 'a');
    this.#process = spawn(command, args, { cwd, env, stdio: ['ignore', stdout, stderr] });
    closeSync(stdout);
    closeSync(stderr);
    this.exited = new Promise((resolve, reject) => {
      this.#process.once('error', reject);
      this.#process.once('exit', (code, signal) => {
        this.#exit = { code, signal };
        resolve(this.#exit);
      });
    });
    // Who does not wait for the end does not care how it came.
    this.exited.catch(() => {});
    if (this.#process.pid === undefined) throw new Error(`cannot start ${this.#command}`);
    this.pid = this.#process.pid;
  }

  /** How it ended; undefined while it runs. */
  get exit(): Exit | undefined {
    return this.#exit;
  }

  get stdout(): string {
    return readFileSync(this.stdoutFile, 'utf8');
  }

  get stderr(): string {
    return readFileSync(this.stderrFile, 'utf8');
  }

  get stdoutLines(): string[] {
    return this.stdout.split('\n').slice(0, -1);
  }

  get stderrLines(): string[] {
    return this.stderr.split('\n').slice(0, -1);
  }

  /** The lines of stderr that are Motya's JSON log. */
  get logs(): LogLine[] {
    return parseLogs(this.stderrLines);
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    // Through the handle, not by number: once the process is reaped the number may be somebody else's.
    this.#process.kill(signal);
  }

  /** Waits for a log line: its event's name, or what is true for it. Fails at once if the process ends without it. */
  waitFor(line: string | ((line: LogLine) => boolean), options: WaitOptions = {}): Promise<LogLine> {
    const matches = typeof line === 'string' ? ({ event }: LogLine) => event === line : line;
    const what = options.what ?? `the log line ${typeof line === 'string' ? line : String(line)}`;
    return this.#wait(() => this.logs.slice(options.from ?? 0).find(matches), { ...options, what });
  }

  /** What programs have said on stdout, without the tags that their lines get. */
  get said(): string[] {
    return untagged(this.stdoutLines);
  }

  /** Waits until a program has said it on stdout. */
  waitForSaid(pattern: RegExp, options: WaitOptions = {}): Promise<string> {
    const what = options.what ?? `${pattern} of a program`;
    return this.#wait(() => this.said.slice(options.from ?? 0).find((line) => pattern.test(line)), {
      ...options,
      what,
    });
  }

  /** Waits for a line on stdout, as it is there. */
  waitForStdout(pattern: RegExp, options: WaitOptions = {}): Promise<string> {
    const what = options.what ?? `${pattern} on stdout`;
    return this.#wait(() => this.stdoutLines.slice(options.from ?? 0).find((line) => pattern.test(line)), {
      ...options,
      what,
    });
  }

  /** Waits for the end of the process. */
  waitForExit(options: Partial<UntilOptions> = {}): Promise<Exit> {
    const instead = () => this.describe();
    return until(() => this.#exit, { what: `the end of ${this.#command}`, instead, ...options });
  }

  #wait<T>(find: () => T | undefined, { evenAfterExit, ...options }: WaitOptions & { what: string }): Promise<T> {
    const step = () => {
      // Before the look, so that nothing written up to the exit is missed.
      const ended = this.#exit !== undefined;
      const found = find();
      if (found === undefined && ended && evenAfterExit !== true) {
        throw new Error(`no ${options.what}: ${this.describe()}`);
      }
      return found;
    };
    return until(step, { instead: () => this.describe(), ...options }) as Promise<T>;
  }

  /** State and last lines, for the message of a failure. */
  describe(): string {
    const exit = this.#exit;
    const state = exit === undefined ? 'is running' : `ended with ${exit.code ?? exit.signal}`;
    const tail = (lines: string[]) => lines.slice(-15).join('\n');
    return `${this.#command} (pid ${this.pid}) ${state}\n${tail(this.stdoutLines)}\n${tail(this.stderrLines)}`;
  }
}

/** The lines that are Motya's JSON log, parsed; other lines are left out. */
export function parseLogs(lines: readonly string[]): LogLine[] {
  return lines.flatMap((line) => {
    if (!line.startsWith('{')) return [];
    try {
      const parsed: unknown = JSON.parse(line);
      const isLog = typeof parsed === 'object' && parsed !== null && 'level' in parsed && 'message' in parsed;
      return isLog ? [parsed as LogLine] : [];
    } catch {
      return [];
    }
  });
}

/** Tagged lines of programs as the programs wrote them; other lines as they are. */
export function untagged(lines: readonly string[]): string[] {
  return lines.map((line) => {
    const object = /^\{"service":"[^"]*","worker":\d+,"generation":\d+(?:,|(?=\}))(.*)$/.exec(line)?.[1];
    if (object !== undefined) return `{${object}`;
    if (!/^\{"time":"[^"]*","service":/.test(line)) return line;
    return (JSON.parse(line) as { message: string }).message;
  });
}
