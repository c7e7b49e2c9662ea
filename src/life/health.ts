import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { HealthSettings } from '../config/settings.js';
import { HandoverError, reasonOf } from '../errors.js';
import { HEALTH_ANSWER_MS, HEALTH_ANSWERS, HEALTH_FAILURES, HEALTH_MS } from '../limits.js';
import type { Listener } from '../listeners/ledger.js';
import type { WorkerExit } from '../supervisor-events.js';
import type { Life } from './life.js';

/** Looks at a successor on probation, by the rules of its settings, until one of them is broken. */
export class HealthWatch {
  readonly #life: Life;
  readonly #broken: (reason: HandoverError) => void;
  readonly #onExit: (worker: WorkerExit) => void;
  #timer: NodeJS.Timeout | undefined;
  #crashes = 0;
  #failures = 0;
  #isClosed = false;

  /** `broken` is called once. */
  constructor(life: Life, broken: (reason: HandoverError) => void) {
    this.#life = life;
    this.#broken = broken;
    this.#onExit = (worker) => this.#crashed(worker);
    life.events.on('workerExit', this.#onExit);
    void this.#look();
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#life.events.off('workerExit', this.#onExit);
  }

  /** At the end: a worker that has crashed and is not back is one that the old version had. */
  lastLook(): HandoverError | null {
    if (this.#crashes === 0 || this.#life.instance.fleet.isWhole) return null;
    const times = this.#crashes === 1 ? 'one has' : `${this.#crashes} have`;
    return new HandoverError(
      'MOTYA_CRASHES',
      `a worker is down at the end of the probation, in which ${times} crashed`,
    );
  }

  #crashed({ service, index, reason }: WorkerExit): void {
    this.#crashes += 1;
    const { crashes } = this.#life.settings.health;
    if (this.#crashes < crashes) return;
    const times = this.#crashes === 1 ? 'a worker has' : `${this.#crashes} workers have`;
    this.#break(
      'MOTYA_CRASHES',
      `${times} crashed on probation, the last one worker ${index} of ${service} (${reason})`,
    );
  }

  async #look(): Promise<void> {
    const { health, services } = this.#life.settings;
    await Promise.all([this.#ask(health), this.#countErrors(health)]);
    if (this.#isClosed || services.length === 0) return;
    this.#timer = setTimeout(() => void this.#look(), HEALTH_MS);
  }

  async #ask({ path }: HealthSettings): Promise<void> {
    if (path === null) return;
    const fault = await faultOf(path, this.#life.instance.programListeners());
    if (this.#isClosed) return;
    this.#failures = fault === null ? 0 : this.#failures + 1;
    if (fault !== null && this.#failures >= HEALTH_FAILURES) this.#break('MOTYA_UNHEALTHY', `${path}: ${fault}`);
  }

  async #countErrors({ errors }: HealthSettings): Promise<void> {
    if (errors === null) return;
    const { answers, failed } = await this.#life.instance.fleet.answered();
    if (this.#isClosed || answers < HEALTH_ANSWERS || failed / answers <= errors) return;
    const share = `${((failed / answers) * 100).toFixed(1)} %`;
    this.#break('MOTYA_ERRORS', `${failed} of ${answers} answers on probation had status 5xx (${share})`);
  }

  #break(code: string, text: string): void {
    if (this.#isClosed) return;
    this.close();
    this.#broken(new HandoverError(code, text));
  }
}

/** What is wrong with the answer to a GET, or null when it is 2xx. */
function faultOf(path: string, listeners: readonly Listener[]): Promise<string | null> {
  const target = path.startsWith('/') ? { ...placeOf(listeners), path } : null;
  return new Promise((resolve) => {
    const options = { agent: false, timeout: HEALTH_ANSWER_MS, headers: { connection: 'close' } } as const;
    // Its own certificate, on its own address: there is no name to check.
    const secure = { ...options, rejectUnauthorized: false };
    const ask = path.startsWith('https:') ? requestHttps(path, secure) : null;
    const sent = ask ?? (target === null ? requestHttp(path, options) : requestHttp({ ...options, ...target }));
    sent.on('response', ({ statusCode = 0 }) => {
      resolve(statusCode >= 200 && statusCode < 300 ? null : `status ${statusCode}`);
      sent.destroy();
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${HEALTH_ANSWER_MS / 1000} s`)));
    sent.on('error', (error) => resolve(reasonOf(error)));
    sent.end();
  });
}

/** Where the first stream listener is reached from here. */
function placeOf(listeners: readonly Listener[]): { host: string; port: number } | { socketPath: string } {
  for (const { socket, claims } of listeners) {
    const { type, family, address, port, path } = socket;
    if (type !== 'stream' || claims.size === 0) continue;
    if (family === 'unix' && path !== null) return { socketPath: path };
    if (port !== null && address !== null) return { host: isAny(address) ? loopback(address) : address, port };
  }
  return { host: '127.0.0.1', port: 80 };
}

const isAny = (address: string): boolean => address === '0.0.0.0' || address === '::';
const loopback = (any: string): string => (any === '::' ? '::1' : '127.0.0.1');
