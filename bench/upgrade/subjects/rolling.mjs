import { app } from '../lib/paths.mjs';
import { startAlone } from '../lib/space.mjs';

/** The rolling restart of apps/rolling.cjs. */
export class RollingSubject {
  #rolled = 0;

  constructor(space, { env, workers }) {
    this.process = startAlone(space, [process.execPath, app('rolling.cjs')], {
      env: { ...env, WORKERS: String(workers) },
    });
  }

  async started() {
    await this.process.waitForStdout(/^serving$/);
    return this;
  }

  async upgrade() {
    const began = performance.now();
    this.#rolled += 1;
    this.process.kill('SIGHUP');
    await this.process.waitForStdout(new RegExp(`^rolled ${this.#rolled}$`), { deadline: 60_000 });
    return { goneMs: performance.now() - began };
  }

  async stop() {
    this.process.kill('SIGTERM');
    await this.process.waitForExit();
  }
}
