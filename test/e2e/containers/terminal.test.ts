import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { freePort, ROOT, readPidfile, until, Workspace } from '../harness/index.js';
import { isRefused, program, Scene } from '../scene.js';

const CTRL_C = '\x03';

/** A command in a terminal of its own (script(1)): what is written to stdin is typed there. */
class Terminal {
  readonly #script: ChildProcess;
  readonly #typescript: string;
  readonly exited: Promise<unknown[]>;

  constructor(space: Workspace, command: string, env: NodeJS.ProcessEnv) {
    this.#typescript = space.path('typescript');
    this.#script = spawn('script', ['-qefc', command, this.#typescript], {
      cwd: space.dir,
      env: { ...space.env, ...env, TERM: 'xterm', npm_config_update_notifier: 'false', npm_config_offline: 'true' },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.exited = once(this.#script, 'exit');
  }

  type(text: string): void {
    this.#script.stdin?.write(text);
  }

  get screen(): string {
    return readFileSync(this.#typescript, 'utf8');
  }

  kill(): void {
    this.#script.kill('SIGKILL');
  }
}

async function inTerminal(command: string, body: (terminal: Terminal, stage: Scene) => Promise<void>): Promise<void> {
  const space = new Workspace();
  try {
    const stage = new Scene(space, await freePort(), space.write('server.cjs', program('one')));
    space.write('package.json', '{}');
    mkdirSync(space.path('node_modules/.bin'), { recursive: true });
    symlinkSync(`${ROOT}dist/motya.cjs`, space.path('node_modules/.bin/motya'));
    const terminal = new Terminal(space, `exec ${command} start server.cjs --name app --keeper`, {
      PORT: String(stage.port),
    });
    try {
      await until(() => readPidfile(stage.pidfile), { what: 'the instance', instead: () => terminal.screen });
      await body(terminal, stage);
    } finally {
      terminal.kill();
    }
    await space.nothingLeft();
  } finally {
    await space.close();
  }
}

describe('in a terminal', () => {
  for (const command of ['npx motya', 'node_modules/.bin/motya']) {
    it(`${command} start --keeper: Ctrl-C lets what is open finish`, () =>
      inTerminal(command, async (terminal, stage) => {
        const { answer, finish } = await stage.hold();
        terminal.type(CTRL_C);
        await until(() => isRefused(stage.port), { what: 'the stop', instead: () => terminal.screen });
        finish();
        assert.equal((await answer).status, 200);
        const [status] = await terminal.exited;
        // npx says 130 for every command that was interrupted.
        assert.ok(status === 0 || command.startsWith('npx'), terminal.screen);
        assert.match(terminal.screen, /event=drained ms=\d+ forced=0\b/);
      }));
  }

  it('a second Ctrl-C closes it', () =>
    inTerminal('node_modules/.bin/motya', async (terminal, stage) => {
      const { answer } = await stage.hold();
      terminal.type(CTRL_C);
      await until(() => isRefused(stage.port), { what: 'the stop', instead: () => terminal.screen });
      terminal.type(CTRL_C);
      await assert.rejects(answer);
      assert.equal((await terminal.exited)[0], 0);
      assert.match(terminal.screen, /event=drained ms=\d+ forced=[1-9]/);
    }));
});
