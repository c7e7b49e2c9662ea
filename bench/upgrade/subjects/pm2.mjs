import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../../dist-test/e2e/harness/index.js';
import { answers } from '../lib/get.mjs';
import { CACHE } from '../lib/paths.mjs';
import { run } from '../lib/space.mjs';

export const PM2_VERSION = '7.0.4';
const DIRECTORY = join(CACHE, `pm2-${PM2_VERSION}`);
const BIN = join(DIRECTORY, 'node_modules', 'pm2', 'bin', 'pm2');

/** Outside the repository: it is nothing that Motya depends on. */
export function installPm2() {
  if (existsSync(BIN)) return;
  const args = ['install', '--prefix', DIRECTORY, '--no-audit', '--no-fund', '--no-save', `pm2@${PM2_VERSION}`];
  execFileSync('npm', args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** A pm2 of its own (PM2_HOME in the workspace) that runs the program in cluster mode, with wait_ready. */
export class Pm2Subject {
  constructor(space, { script, env, workers }) {
    this.space = space;
    this.port = env.PORT;
    this.env = { PM2_HOME: space.path('pm2'), PM2_DISABLE_VERSION_CHECK: 'true', NO_UPDATE_NOTIFIER: '1' };
    const settings = {
      name: 'bench',
      script,
      exec_mode: 'cluster',
      instances: workers,
      wait_ready: true,
      vizion: false,
      env,
    };
    this.ecosystem = space.write('pm2.config.json', JSON.stringify({ apps: [settings] }));
  }

  #pm2(...args) {
    return run(this.space, process.execPath, [BIN, '--silent', ...args], { env: this.env });
  }

  async started() {
    await this.#pm2('start', this.ecosystem);
    await until(() => answers(this.port), { what: 'an answer of the program under pm2' });
    return this;
  }

  /** `pm2 reload` returns when the old workers have gone. */
  async upgrade() {
    const began = performance.now();
    await this.#pm2('reload', 'bench');
    return { goneMs: performance.now() - began };
  }

  async stop() {
    await this.#pm2('kill');
  }
}
