import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { cpSync, readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:http';
import { freePort, ROOT, type Result, until, type Workspace } from '../e2e/harness/index.js';
import { type Load, type LoadOptions, startLoad } from '../e2e/load/index.js';
import { ask } from '../e2e/scene.js';
import type { Place, Row } from './table.js';

/** ms: as short as a probation can be that a busy machine still looks into. */
const PROBATION_MS = 400;
/** For an upgrade that is to be taken back by hand. */
const LONG_PROBATION = '30s';
/** ms for a listener to answer a client: more than that is one that nobody accepts on. */
const ANSWER_MS = 5_000;
/** ms after which a program that does not serve is refused. */
const READY_MS = 5_000;
/** Exit statuses of an upgrade that did not happen, or was taken back: docs/cli.md. */
const REJECTED = [3, 6];

const FIXTURES = `${ROOT}test/fixtures/programs/`;

type Env = Readonly<Record<string, string>>;

/** One program of the table in a directory of its own, from its start to its end. */
export class ProgramLife {
  readonly #space: Workspace;
  readonly #row: Row;
  readonly #env: Readonly<Record<string, string | undefined>>;
  #generation = 1;

  private constructor(space: Workspace, row: Row, env: Env) {
    this.#space = space;
    this.#row = row;
    // The file's, which changes, is what holds here.
    this.#env = { ...env, MOTYA_PROBATION: undefined };
  }

  static async prepare(space: Workspace, row: Row): Promise<ProgramLife> {
    const env: Record<string, string> = { ...row.env, ...row.shell, CLOSED: String(await freePort()) };
    for (const place of row.places) env[place] = place === 'SOCKET' ? space.path('server.sock') : String(await freePort());
    const life = new ProgramLife(space, row, env);
    life.#configure(`${PROBATION_MS}ms`);
    cpSync(`${FIXTURES}metrics.cjs`, space.path('metrics.cjs'));
    return life;
  }

  #configure(probation: string): void {
    const { script, workers = 1, service = [] } = this.#row;
    this.#space.write(
      'motya.yaml',
      `name: app
probation: ${probation}
readyTimeout: ${READY_MS}ms
drainTimeout: 3s
services:
  web:
    script: ${FIXTURES}${script}
    cwd: .
    workers: ${workers}
    killGrace: 1s
${service.map((line) => `    ${line}\n`).join('')}`,
    );
  }

  #motya(...args: string[]): Promise<Result> {
    return this.#space.run(args, { env: this.#env });
  }

  /** Two upgrades, one that is taken back, a stop; under load from the start on. */
  async run(): Promise<void> {
    const { outcome, first } = this.#row;
    const child = this.#space.motya(['start', '--daemonize', '--log-file', 'app.log'], { env: this.#env });
    const started = await child.waitForExit({ deadline: 3 * READY_MS });
    if (outcome === 'refused') {
      assert.equal(started.code, 1, `it started: ${child.stderr}`);
      assert.notEqual(child.stderr.trim(), '', 'it says why');
      await this.#space.nothingLeft();
      return;
    }
    assert.equal(started.code, 0, child.stderr);
    if (first !== undefined) await ask({ port: Number(this.#env.PORT), host: '127.0.0.1', path: first });
    await this.#allAnswer('after the start', 2 * ANSWER_MS);
    const loads = this.#row.places.map((place) => startLoad(this.#loadFor(place)));
    try {
      await this.#upgrade();
      await this.#upgrade();
      await this.#takeBack();
    } finally {
      await this.#endLoads(loads);
    }
    const stopped = await this.#motya('stop', '--name', 'app');
    assert.equal(stopped.code, 0, stopped.stderr);
    await this.#space.nothingLeft();
    for (const place of this.#row.places) assert.equal(await this.#answer(place), 'refused', `${place} after the stop`);
  }

  async #upgrade(): Promise<void> {
    const { code, stdout, stderr } = await this.#motya('upgrade', '--name', 'app');
    const said = `upgrade: exit status ${code}\n${stdout}${stderr}${this.#log()}`;
    if (this.#row.outcome === 'serves') {
      assert.equal(code, 0, said);
      this.#generation += 1;
    } else {
      assert.ok(REJECTED.includes(code ?? -1), said);
    }
    await this.#allAnswer(said);
  }

  async #takeBack(): Promise<void> {
    if (this.#row.outcome !== 'serves') return;
    this.#configure(LONG_PROBATION);
    const upgraded = await this.#motya('upgrade', '--detach', '--name', 'app');
    assert.equal(upgraded.code, 0, upgraded.stderr);
    const rolledBack = await this.#motya('rollback', '--name', 'app');
    assert.equal(rolledBack.code, 0, rolledBack.stderr + this.#log());
    await this.#allAnswer(`rollback: ${rolledBack.stdout}${this.#log()}`);
  }

  /** Each listener answers new clients, in the end as the generation that serves. */
  async #allAnswer(when: string, deadline = ANSWER_MS): Promise<void> {
    for (const place of this.#row.places) {
      let last: unknown;
      const right = async () => {
        last = await this.#answer(place);
        return last === String(this.#generation);
      };
      const what = `${place} to answer as generation ${this.#generation}; ${when}`;
      await until(right, { what, deadline, every: 20, instead: () => last });
    }
    if (this.#row.script === 'any-port.mjs') await this.#sameChosenPort();
    const { CLOSED } = this.#env;
    if (this.#row.script === 'startup-port.mjs') {
      const closed = async () => (await answerOf({ port: Number(CLOSED), host: '127.0.0.1' })) === 'refused';
      await until(closed, { what: 'its start-up port to be closed' });
    }
  }

  #chosen = '';
  async #sameChosenPort(): Promise<void> {
    const port = await answerOf({ port: Number(this.#env.PORT), host: '127.0.0.1', path: '/port' });
    assert.equal(port, this.#chosen === '' ? port : this.#chosen);
    this.#chosen = port;
    assert.equal(await answerOf({ port: Number(port), host: '127.0.0.1' }), String(this.#generation));
  }

  #answer(place: Place): Promise<string> {
    const value = this.#env[place] ?? '';
    if (place === 'SOCKET') return answerOf({ socketPath: value });
    return place === 'UDP' ? datagramOf(Number(value)) : answerOf({ port: Number(value), host: '127.0.0.1' });
  }

  #loadFor(place: Place): LoadOptions {
    const common = { anonymous: true, limitMs: ANSWER_MS, thinkMs: 20 };
    const value = this.#env[place] ?? '';
    if (place === 'UDP') return { ...common, port: Number(value), udp: 1 };
    const at = place === 'SOCKET' ? { path: value } : { port: Number(value) };
    const { slow, webSocket } = this.#row;
    return { ...common, ...at, fresh: 1, keepAlive: 1, slow: slow ? 2 : 0, slowMs: 300, webSocket: webSocket ? 2 : 0 };
  }

  async #endLoads(loads: readonly Load[]): Promise<void> {
    const reports = await Promise.all(loads.map((load) => load.stop()));
    for (const [index, report] of reports.entries()) {
      const what = `${this.#row.places[index]}: ${JSON.stringify(report.details, undefined, 1)}${this.#log()}`;
      assert.equal(report.failures, 0, what);
      assert.ok(report.answers > 0, what);
    }
  }

  /** The end of the log, for the message of a failure. */
  #log(): string {
    try {
      return `\nlog:\n${readFileSync(this.#space.path('app.log'), 'utf8').split('\n').slice(-40).join('\n')}`;
    } catch {
      return '';
    }
  }
}

/** What a new connection gets: the body of the answer, `refused`, or what else happened. */
async function answerOf(options: RequestOptions): Promise<string> {
  try {
    const { status, body } = await ask({ ...options, timeout: ANSWER_MS });
    return status === 200 ? body : `${status} ${body}`;
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    // A unix path that is gone.
    return code === 'ECONNREFUSED' || code === 'ENOENT' ? 'refused' : code;
  }
}

/** The generation that answers a datagram, `refused`, or `silent`. */
async function datagramOf(port: number): Promise<string> {
  const socket = createSocket('udp4');
  try {
    socket.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const answered = once(socket, 'message', { signal: AbortSignal.timeout(ANSWER_MS) });
    socket.send('1');
    const [bytes] = (await answered) as [Buffer];
    return (JSON.parse(bytes.toString()) as { generation: string }).generation;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? 'refused' : 'silent';
  } finally {
    socket.close();
  }
}
