import { type ChildProcess, spawn } from 'node:child_process';
import { until, type Workspace } from '../e2e/harness/index.js';

/** A command at a real terminal of 24 lines and 80 columns, which script(1) makes; a test ends what it starts. */
export class Terminal {
  readonly #process: ChildProcess;
  #output = '';
  #exit: number | null | undefined;

  constructor(space: Workspace, command: string, env: NodeJS.ProcessEnv = {}) {
    const line = `stty rows 24 cols 80; exec ${command}`;
    this.#process = spawn('script', ['-qec', line, '/dev/null'], {
      cwd: space.dir,
      env: { ...space.env, TERM: 'xterm', SHELL: '/bin/sh', ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text;
    });
    this.#process.once('close', (code) => {
      this.#exit = code;
    });
  }

  get output(): string {
    return this.#output;
  }

  /** Without what only moves the cursor or colours; a carriage return is not undone. */
  get text(): string {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal speaks in them.
    return this.#output.replace(/\x1b(\[[0-9;?>=]*[A-Za-z]|[()][A-Z0-9]|[=>78]|\][^\x07]*\x07)/g, '');
  }

  type(keys: string): void {
    this.#process.stdin?.write(keys);
  }

  /** Waits until what was printed after `from` (a length of {@link text}) matches. */
  waitFor(pattern: RegExp, { from = 0, text = () => this.text } = {}): Promise<RegExpExecArray> {
    return until(
      () => {
        const found = pattern.exec(text().slice(from));
        if (found === null && this.#exit !== undefined) throw new Error(`no ${pattern}: it ended\n${text()}`);
        return found ?? undefined;
      },
      { what: `${pattern} at the terminal`, instead: () => JSON.stringify(text().slice(-2000)) },
    ) as Promise<RegExpExecArray>;
  }

  /** The command's exit status, when it has ended. */
  exit(): Promise<number | null> {
    return until(() => (this.#exit === undefined ? undefined : { code: this.#exit }), {
      what: 'the end of the command',
      instead: () => JSON.stringify(this.text.slice(-2000)),
    }).then((end) => (end as { code: number | null }).code);
  }
}
