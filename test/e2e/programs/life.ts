import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { cpSync } from 'node:fs';
import type { RequestOptions } from 'node:http';
import { connectControl } from '#src/control/client.js';
import type { ControlMessage, Result } from '#src/control/control-messages.js';
import { type Child, freePort, ROOT, readPidfile, until, type Workspace } from '../harness/index.js';
import { type Load, type LoadOptions, startLoad } from '../load/index.js';
import { ask, failureOf } from '../scene.js';
import type { Place, Row } from './table.js';

/** ms: as short as a probation can be that a busy machine still looks into. */
const PROBATION_MS = 400;
/** For an upgrade that is to be taken back by hand. */
const LONG_PROBATION = '30s';
/** ms for a listener to answer a client: more than that is one that nobody accepts on. */
const ANSWER_MS = 5_000;
/** ms after which a program that does not serve is refused. */
const READY_MS = 5_000;
/** Exit statuses of an upgrade that did not happen, or was taken back: docs/reference/errors.md. */
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
    for (const place of row.places)
      env[place] = place === 'SOCKET' ? space.path('server.sock') : String(await freePort());
    const life = new ProgramLife(space, row, env);
    life.#configure(`${row.probation ?? PROBATION_MS}ms`);
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

  /**
   * Two upgrades, one that is taken back, a stop; under load from the start on. The command does the first upgrade; the rest is
   * asked for as the commands do it, without the time that each of them takes to start.
   */
  async run(): Promise<void> {
    const { outcome, first, listens = 0 } = this.#row;
    const child = this.#space.motya(['start'], { env: this.#env });
    if (outcome === 'refused') {
      const { code } = await child.waitForExit();
      assert.equal(code, 1, child.describe());
      assert.equal(typeof failureOf(child).code, 'string');
      await this.#space.nothingLeft();
      return;
    }
    await child.waitFor('serving');
    if (first !== undefined) await ask({ port: Number(this.#env.PORT), host: '127.0.0.1', path: first });
    const says = () => child.said.filter((line) => line.includes('"listening"')).length >= listens;
    await until(says, { what: `${listens} times that it listens`, instead: () => child.describe() });
    await this.#allAnswer(child, 'after the start');
    const loads = this.#row.places.map((place) => startLoad(this.#loadFor(place)));
    try {
      const { code, stdout, stderr } = await this.#space.run(['upgrade', '--name', 'app'], { env: this.#env });
      await this.#upgraded(child, code ?? -1, stdout + stderr);
      const { ok, text } = await this.#say({ type: 'UPGRADE', dryRun: false, settled: true, allowRemoved: false });
      await this.#upgraded(child, ok ? 0 : (REJECTED[0] ?? 0), text);
      if (outcome === 'serves') await this.#takeBack(child);
    } finally {
      await this.#endLoads(loads, child);
    }
    process.kill(readPidfile(`${this.#space.runtimeDir}/motya/app.pid`) ?? 0, 'SIGTERM');
    await this.#space.nothingLeft();
    for (const place of this.#row.places) assert.equal(await this.#answer(place), 'refused', `${place} after the stop`);
  }

  async #upgraded(child: Child, code: number, said: string): Promise<void> {
    const what = `upgrade: exit status ${code}\n${said}`;
    if (this.#row.outcome === 'serves') {
      assert.equal(code, 0, `${what}${child.describe()}`);
      this.#generation += 1;
    } else {
      assert.ok(REJECTED.includes(code), `${what}${child.describe()}`);
    }
    await this.#allAnswer(child, what);
  }

  async #takeBack(child: Child): Promise<void> {
    this.#configure(LONG_PROBATION);
    for (const message of [
      { type: 'UPGRADE', dryRun: false, settled: false, allowRemoved: false },
      { type: 'ROLLBACK' },
    ] as const) {
      const { ok, text } = await this.#say(message);
      assert.ok(ok, `${message.type}: ${text} ${child.describe()}`);
    }
    await this.#allAnswer(child, 'after the rollback');
  }

  /** Says it to the instance that serves, as a command does. */
  async #say(message: ControlMessage): Promise<Result> {
    const channel = connectControl(`${this.#space.runtimeDir}/motya/app.control.sock`);
    try {
      return await new Promise<Result>((resolve, reject) => {
        channel.on('close', () => reject(new Error(`${message.type}: the instance has hung up`)));
        channel.on('message', (answer) => {
          if (answer.type === 'RESULT') resolve(answer);
        });
        channel.open();
        channel.send(message);
      });
    } finally {
      channel.close();
    }
  }

  /** Each listener answers new clients, in the end as the generation that serves. */
  async #allAnswer(child: Child, when: string): Promise<void> {
    for (const place of this.#row.places) {
      let last: unknown;
      const right = async () => {
        last = await this.#answer(place);
        return last === String(this.#generation);
      };
      const what = `${place} to answer as generation ${this.#generation}; ${when}`;
      await until(right, { what, deadline: ANSWER_MS, every: 20, instead: () => `${last} ${child.describe()}` });
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
    const common = { anonymous: true, limitMs: ANSWER_MS, thinkMs: 40 };
    const value = this.#env[place] ?? '';
    if (place === 'UDP') return { ...common, port: Number(value), udp: 1 };
    const at = place === 'SOCKET' ? { path: value } : { port: Number(value) };
    const { slow } = this.#row;
    return { ...common, ...at, fresh: 1, keepAlive: 1, slow: slow ? 2 : 0, slowMs: 300 };
  }

  async #endLoads(loads: readonly Load[], child: Child): Promise<void> {
    const reports = await Promise.all(loads.map((load) => load.stop()));
    for (const [index, report] of reports.entries()) {
      const what = `${this.#row.places[index]}: ${JSON.stringify(report.details, undefined, 1)} ${child.describe()}`;
      if (this.#row.crashes !== true) assert.equal(report.failures, 0, what);
      assert.ok(report.answers > 0, what);
    }
  }
}

/** What a new connection gets: the body of the answer, `refused`, or what else happened. */
async function answerOf(options: RequestOptions): Promise<string> {
  try {
    const { status, body } = await ask({ ...options, signal: AbortSignal.timeout(ANSWER_MS) });
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
