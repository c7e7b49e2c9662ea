import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import {
  app,
  childrenOf,
  commandLineOf,
  fdList,
  freePorts,
  readPidfile,
  until,
} from '../../dist-test/e2e/harness/index.js';
import { startLoad } from '../../dist-test/e2e/load/index.js';

const NAME = 'soak';
const WEB_SOCKETS = fileURLToPath(new URL('./ws.mjs', import.meta.url));
/** ms after which one main process must serve, whatever has happened. */
const SETTLED_MS = 60_000;
/** KiB that a process may have more of its own at the end than in the beginning: the noise of a heap. */
const GROWTH = 16 * 1024;
/** ms after which a datagram is lost: those that wait for a new instance to boot are not. */
export const LOST_MS = 10_000;

/** The service that is tried, below a keeper, and its clients. */
export class Service {
  #space;
  #keeper;
  loads;

  static async start(space) {
    const service = new Service();
    await service.#start(space);
    return service;
  }

  async #start(space) {
    this.#space = space;
    const [web, ws, h2, dns] = await freePorts(4);
    space.write(
      'web.cjs',
      `if (require('node:fs').existsSync('broken')) throw new Error('broken on purpose');
require(${JSON.stringify(app('http.cjs'))}).listen(${web});
`,
    );
    space.write(
      'motya.yaml',
      `name: ${NAME}
drainTimeout: 10s
keeper: true
services:
  web: { script: web.cjs, workers: 2 }
  ws: { script: ${WEB_SOCKETS}, args: ['${ws}'] }
  h2: { script: ${app('http2-h2c.mjs')}, args: ['${h2}'] }
  dns: { script: ${app('udp-echo.cjs')}, args: ['${dns}'] }
`,
    );
    this.#keeper = space.motya(['start'], { env: { MOTYA_PROBATION: '3s' } });
    await this.#keeper.waitFor('serving');
    const thinkMs = 40;
    this.loads = [
      startLoad({ port: web, keepAlive: 4, fresh: 3, slow: 1, upload: 1, slowMs: 300, uploadMs: 200, thinkMs }),
      startLoad({ port: ws, webSocket: 2, keepAlive: 1, thinkMs }),
      startLoad({ port: h2, http2: 2, thinkMs }),
      startLoad({ port: dns, udp: 2, thinkMs, limitMs: LOST_MS }),
    ];
  }

  motya(command, ...args) {
    return this.#space.run([command, ...args, '--name', NAME], { deadline: 2 * SETTLED_MS });
  }

  breakProgram(isBroken) {
    if (isBroken) this.#space.write('broken', '');
    else rmSync(this.#space.path('broken'));
  }

  /** Supervisors that are no keeper, the youngest last. */
  supervisors() {
    return childrenOf(this.#keeper.pid)
      .concat(childrenOf(this.#keeper.pid).flatMap(childrenOf))
      .filter((pid) => commandLineOf(pid).includes('start'))
      .sort((one, other) => one - other);
  }

  workersOf(pid) {
    return childrenOf(pid).filter((child) => !commandLineOf(child).includes('start'));
  }

  kill(pid) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }

  /** Waits until one main process serves, is on no probation, and no generation drains. `old`: a pid that it must not be. */
  async settled(old) {
    let last;
    const look = async () => {
      const { code, stdout } = await this.motya('status', '--json');
      if (code !== 0) return null;
      const { pid, phase, probation, draining, services } = JSON.parse(stdout);
      last = { pid, phase, probation, draining };
      const isMain = pid === this.pidfile && pid !== old;
      const workers = services.flatMap((service) => service.workers);
      const areReady = workers.length === 5 && workers.every(({ state }) => state === 'ready');
      if (!isMain || !areReady || phase !== 'serving' || probation !== null || draining.length > 0) return null;
      return { pid, workers: workers.map((worker) => worker.pid) };
    };
    const instead = () => ({ ...last, pidfile: this.pidfile, supervisors: this.supervisors() });
    const found = await until(look, { what: 'one main process', deadline: SETTLED_MS, instead });
    return { ...found, keeper: sizeOf(this.#keeper.pid), main: sizeOf(found.pid) };
  }

  get pidfile() {
    return readPidfile(`${this.#space.runtimeDir}/motya/${NAME}.pid`);
  }

  growth(before, after) {
    return ['keeper', 'main'].flatMap((who) => [
      ...(after[who].fds > before[who].fds
        ? [`the ${who} has ${after[who].fds} fds, ${before[who].fds} in the beginning`]
        : []),
      ...(after[who].memory > before[who].memory + GROWTH ? [`the ${who} has grown to ${after[who].memory} KiB`] : []),
    ]);
  }

  lastLines() {
    return this.#keeper.stderrLines.slice(-60).join('\n');
  }

  async stop() {
    await this.motya('stop', '--now');
  }
}

/** Open fds, and KiB that are not of files. */
function sizeOf(pid) {
  const memory = Number(/^Anonymous:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1'))?.[1]);
  return { fds: fdList(pid).length, memory };
}
