import { join } from 'node:path';
import { CLI, isAlive, readPidfile, until } from '../../../dist-test/e2e/harness/index.js';

const NAME = 'bench';

/** An instance of Motya in a workspace. */
export class MotyaSubject {
  /** @param {{ script: string, env?: object, workers?: number, launcher?: string[] }} options `launcher`: node, or what runs it */
  constructor(space, { script, env = {}, workers = 1, launcher = [process.execPath] }) {
    this.space = space;
    this.options = { env };
    const [command, ...args] = [...launcher, CLI, 'start', script, '--name', NAME, '--workers', String(workers)];
    this.process = space.start(command, args, this.options);
  }

  async started() {
    await this.process.waitFor('serving');
    return this;
  }

  get supervisor() {
    return readPidfile(join(this.space.runtimeDir, 'motya', `${NAME}.pid`));
  }

  /**
   * Replaces the instance and waits until the old one has gone.
   * @returns ms until the command returned, until the old one had gone, and from COMMIT to LIVE
   */
  async upgrade() {
    const old = this.supervisor;
    const began = performance.now();
    const result = await this.space.run(['upgrade', '--name', NAME, '--json'], this.options);
    const commandMs = performance.now() - began;
    if (result.code !== 0) throw new Error(`motya upgrade ended with ${result.code}: ${result.stdout}${result.stderr}`);
    await until(() => !isAlive(old), { what: `the end of the old instance (pid ${old})` });
    const { gapMs } = JSON.parse(result.stdout.trim().split('\n').at(-1));
    return { commandMs, goneMs: performance.now() - began, gapMs };
  }

  status() {
    return this.space.status(['--name', NAME], this.options);
  }
}
