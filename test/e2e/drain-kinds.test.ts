import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { createRequire } from 'node:module';
import { describe, it, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { type Child, until } from './harness/index.js';
import { type Scene, scene } from './scene.js';

/** `/wait` is never answered, `/stream` has no end; and WebSockets. */
const PROGRAM = `'use strict';
const { WebSocketServer } = require(${JSON.stringify(createRequire(import.meta.url).resolve('ws'))});
const server = require('node:http').createServer((request, response) => {
  if (request.url === '/stream') response.writeHead(200, { 'Content-Type': 'application/x-ndjson' }).write('{}\\n');
  else if (request.url === '/wait') console.log('it waits');
  else response.end('done');
});
new WebSocketServer({ server }).on('connection', (socket) => socket.on('error', () => {}));
server.listen(process.env.PORT, '127.0.0.1');
`;

async function stageFor(test: TestContext, drain: string): Promise<{ stage: Scene; first: Child }> {
  const stage = await scene(test, '', PROGRAM);
  const config = stage.space.write('motya.yaml', `services: { web: { script: server.cjs } }\ndrain: ${drain}\n`);
  const env = { PORT: String(stage.port) };
  const first = stage.space.motya(['start', '--config', config, '--name', 'app', '--probation', '0'], { env });
  await first.waitFor('serving');
  return { stage, first };
}

interface Ends {
  /** Resolve when the connection has closed, with what its client was told. */
  readonly http: Promise<string>;
  readonly streams: Promise<string>;
  readonly webSockets: Promise<string>;
}

/** A connection of each kind. */
async function openEach({ port }: Scene, first: Child): Promise<Ends> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  const code = new Promise<string>((resolve) => socket.once('close', (code) => resolve(String(code))));
  await once(socket, 'open');
  const ended = (path: string, begun: (sent: ReturnType<typeof request>) => void): Promise<string> =>
    new Promise((resolve) => {
      const sent = request({ port, host: '127.0.0.1', path, agent: false });
      sent.on('error', () => {}).once('close', () => resolve('cut'));
      sent.end();
      begun(sent);
    });
  let answered: Promise<unknown> = Promise.resolve();
  const streams = ended('/stream', (sent) => {
    answered = once(sent, 'response').then(([response]) => response.on('error', () => {}).resume());
  });
  const http = ended('/wait', () => {});
  await answered;
  await first.waitForStdout(/it waits/);
  return { http, streams, webSockets: code };
}

async function inOrder(ends: Ends): Promise<string[]> {
  const order: string[] = [];
  await Promise.all(
    Object.entries(ends).map(([kind, end]) => end.then((how: string) => order.push(`${kind}: ${how}`))),
  );
  return order;
}

const SHORT = '{ http: 300ms, streams: 1s, webSockets: 2s }';
const EACH_IN_ITS_TIME = ['http: cut', 'streams: cut', 'webSockets: 1012'];

describe('a drain with times by kind', () => {
  it('at an upgrade, each kind ends in its own; the old generation ends with the last', async (test) => {
    const { stage, first } = await stageFor(test, SHORT);
    const ends = inOrder(await openEach(stage, first));
    const upgraded = await stage.upgrade();
    assert.equal(upgraded.code, 0, upgraded.stderr);
    assert.deepEqual(await ends, EACH_IN_ITS_TIME);
    const { forced, ms } = await first.waitFor('drained', { evenAfterExit: true });
    assert.ok(forced === 3 && Number(ms) < 30_000, JSON.stringify({ forced, ms }));
  });

  it('at a stop too', async (test) => {
    const { stage, first } = await stageFor(test, SHORT);
    const ends = inOrder(await openEach(stage, first));
    first.kill('SIGTERM');
    assert.deepEqual(await ends, EACH_IN_ITS_TIME);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });

  it('status tells what it waits for and until when; stop --now closes WebSockets with 1012, too', async (test) => {
    const { stage, first } = await stageFor(test, '{ http: 2m, streams: 15m, webSockets: 1h }');
    const ends = await openEach(stage, first);
    const upgraded = await stage.upgrade();
    assert.equal(upgraded.code, 0, upgraded.stderr);
    const look = async () => {
      const [drain] = (await stage.status()).draining;
      return drain?.waits?.webSockets.connections === 1 ? { ...drain, waits: drain.waits } : null;
    };
    const { waits, left } = await until(look, { what: 'the drain' });
    const minutes = ({ connections, left, deadline }: (typeof waits)['http']) => {
      assert.ok(Math.abs(Date.parse(deadline) - Date.now() - left) < 10_000);
      return [connections, Math.ceil(left / 60_000)];
    };
    assert.deepEqual(
      [minutes(waits.http), minutes(waits.streams), minutes(waits.webSockets), minutes(waits.tcp)],
      [
        [1, 2],
        [1, 15],
        [1, 60],
        [0, 1],
      ],
    );
    assert.equal(Math.ceil(Number(left) / 60_000), 60);
    const { stdout } = await stage.space.run(['status', '--name', 'app']);
    const rows = /^ {2}http .*\n {2}streams .*\n {2}webSockets +[\d:]{8} +\d+ min.* 1$/m;
    assert.match(stdout, rows);
    assert.equal((await stage.space.run(['stop', '--name', 'app', '--now'])).code, 0);
    assert.deepEqual(await Promise.all([ends.http, ends.streams, ends.webSockets]), ['cut', 'cut', '1012']);
  });
});
