import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { connect, type SecureVersion, type TLSSocket } from 'node:tls';
import { makeCertificate } from '../harness/certificate.js';
import { freePort, type Workspace, workspace } from '../harness/index.js';

/** Answers each connection with its generation, its worker and its ticket keys. */
const PROGRAM = `'use strict';
const { readFileSync } = require('node:fs');
const tls = require('node:tls');
const own = Buffer.alloc(48, 7);
const options = { key: readFileSync(process.env.TLS_KEY), cert: readFileSync(process.env.TLS_CERT) };
if (process.env.KEYS === 'option') options.ticketKeys = own;
if (process.env.KEYS === 'context') options.sessionIdContext = process.env.MOTYA_GENERATION;
const server = tls.createServer(options, (socket) => {
  const { MOTYA_GENERATION: generation, MOTYA_WORKER_INDEX: worker } = process.env;
  socket.end(JSON.stringify({ generation, worker, keys: server.getTicketKeys().toString('hex') }));
  socket.on('error', () => {});
});
if (process.env.KEYS === 'call') server.setTicketKeys(own);
if (process.env.KEYS === 'certificate') setInterval(() => server.setSecureContext(options), 10);
server.listen(Number(process.env.PORT));
`;
const OWN = Buffer.alloc(48, 7).toString('hex');

interface Met {
  readonly generation: string;
  readonly worker: string;
  readonly keys: string;
  readonly isReused: boolean;
  readonly session: Buffer;
}

/** One connection; with a session, it asks for that one to be resumed. */
async function meet(port: number, version: SecureVersion, session?: Buffer): Promise<Met> {
  const options = { port, host: '127.0.0.1', minVersion: version, maxVersion: version, rejectUnauthorized: false };
  const socket: TLSSocket = connect({ ...options, ...(session === undefined ? {} : { session }) });
  let text = '';
  let ticket: Buffer | undefined;
  let isReused = false;
  socket.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  socket.on('secureConnect', () => {
    isReused = socket.isSessionReused();
  });
  // TLS 1.3 sends it after the handshake, 1.2 with it.
  socket.on('session', (one: Buffer) => {
    ticket = one;
  });
  await once(socket, 'close');
  assert.ok(ticket ?? session, 'a session');
  return { ...JSON.parse(text), isReused, session: (ticket ?? session) as Buffer };
}

class Stage {
  readonly space: Workspace;
  readonly port: number;

  constructor(space: Workspace, port: number) {
    this.space = space;
    this.port = port;
  }

  /** `directory`: of the release that `current` leads to. */
  release(directory: string): string {
    return this.space.write(`${directory}/server.cjs`, PROGRAM);
  }

  async start(args: readonly string[] = [], keys = ''): Promise<void> {
    Object.assign(this.space.env, await makeCertificate(this.space.dir), { PORT: String(this.port), KEYS: keys });
    await this.space.motya(['start', this.release('one'), '--name', 'app', ...args]).waitFor('serving');
  }

  async run(...args: readonly string[]): Promise<void> {
    const { code, stderr } = await this.space.run([...args, '--name', 'app']);
    assert.equal(code, 0, stderr);
  }
}

async function stageFor(test: TestContext): Promise<Stage> {
  return new Stage(workspace(test), await freePort());
}

describe('TLS sessions', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    it(`${version}: resumed by any worker, by the next generation, and by the one before it after a rollback`, async (t) => {
      const stage = await stageFor(t);
      await stage.start(['--workers', '2', '--probation', '10m']);
      const first = await meet(stage.port, version);
      assert.deepEqual([first.generation, first.isReused], ['1', false]);
      const workers = new Set<string>();
      for (let more = 0; more < 200 && workers.size < 2; more++) {
        const again = await meet(stage.port, version, first.session);
        assert.equal(again.isReused, true, `worker ${again.worker} after worker ${first.worker}`);
        workers.add(again.worker);
      }
      assert.equal(workers.size, 2);

      await stage.run('upgrade', '--detach');
      const second = await meet(stage.port, version, first.session);
      assert.deepEqual([second.generation, second.isReused], ['2', true]);
      await stage.run('rollback');
      const back = await meet(stage.port, version, second.session);
      assert.deepEqual([back.generation, back.isReused], ['1', true]);
    });
  }

  it('resumed by a release in another directory', async (t) => {
    const stage = await stageFor(t);
    await stage.start();
    const first = await meet(stage.port, 'TLSv1.3');
    const second = stage.space.motya(['start', stage.release('two'), '--name', 'app', '--upgrade']);
    await second.waitFor('waiting');
    process.kill((await stage.space.ask('app')).pid, 'SIGQUIT');
    await second.waitFor('serving');
    const met = await meet(stage.port, 'TLSv1.3', first.session);
    assert.deepEqual([met.generation, met.isReused], ['2', true]);
  });

  it('a program that gets a new certificate keeps the keys', async (t) => {
    const stage = await stageFor(t);
    await stage.start([], 'certificate');
    const { session } = await meet(stage.port, 'TLSv1.3');
    assert.equal((await meet(stage.port, 'TLSv1.3', session)).isReused, true);
    await stage.run('upgrade');
    assert.equal((await meet(stage.port, 'TLSv1.3', session)).isReused, true);
  });

  for (const [how, preloaded] of [['option'], ['call'], ['call', 'tls']] as const) {
    it(`a program with keys of its own keeps them (${how}${preloaded ? ', tls is loaded before it' : ''})`, async (t) => {
      const stage = await stageFor(t);
      if (preloaded) stage.space.env.NODE_OPTIONS = `--require=node:${preloaded}`;
      await stage.start([], how);
      assert.equal((await meet(stage.port, 'TLSv1.3')).keys, OWN);
      await stage.run('upgrade');
      assert.equal((await meet(stage.port, 'TLSv1.3')).keys, OWN);
    });
  }

  it('a program with session id contexts of its own keeps them', async (t) => {
    const stage = await stageFor(t);
    await stage.start([], 'context');
    const { session } = await meet(stage.port, 'TLSv1.3');
    await stage.run('upgrade');
    assert.equal((await meet(stage.port, 'TLSv1.3', session)).isReused, false);
  });
});
