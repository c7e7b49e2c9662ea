import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { type Child, until } from './harness/index.js';
import { type Scene, scene } from './scene.js';

/** `/events` announces its end and writes on after it; `/busy` does neither. */
const PROGRAM = `'use strict';
require('node:http').createServer((request, response) => {
  if (request.url === '/events') {
    response.writeHead(200, { 'Content-Type': 'text/event-stream', Connection: 'close' });
    setInterval(() => response.write('data: 1\\n\\n'), 20);
  } else if (request.url === '/busy') {
    response.writeHead(200, { 'Content-Type': 'text/plain' });
    response.write('begun');
  } else response.end('done');
}).on('listening', function () { this.keepAliveTimeout = 600_000; }).listen(process.env.PORT, '127.0.0.1');
`;
const OF_EACH = 12;

/** A connection that stays open, and how its answer has ended. */
interface Open {
  readonly path: string;
  /** Resolves with the time of its end (performance.now()). */
  readonly closed: Promise<number>;
  readonly answer: IncomingMessage;
}

async function open(stage: Scene, path: string): Promise<Open> {
  const agent = new Agent({ keepAlive: true });
  const sent = request({ port: stage.port, host: '127.0.0.1', path, agent });
  sent.on('error', () => {});
  sent.end();
  const [socket] = await once(sent, 'socket');
  const closed = new Promise<number>((resolve) => socket.once('close', () => resolve(performance.now())));
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  answer.on('error', () => {}).resume();
  if (path === '/') await once(answer, 'end');
  return { path, closed, answer };
}

async function stageFor(test: TestContext, drain: string): Promise<{ stage: Scene; first: Child }> {
  const stage = await scene(test, '', PROGRAM);
  const first = await stage.first(['--drain-timeout', drain]);
  return { stage, first };
}

describe('what is open at the end of a drain', () => {
  it('is closed little by little, those that know of it first; event streams end complete', async (test) => {
    const { stage, first } = await stageFor(test, '5s');
    const paths = Array.from({ length: OF_EACH }, () => ['/busy', '/', '/events']).flat();
    const opened = await Promise.all(paths.map((path) => open(stage, path)));
    first.kill('SIGTERM');
    const ends = await Promise.all(opened.map(async ({ path, closed }) => ({ path, at: await closed })));
    const { forced } = await first.waitFor('drained', { evenAfterExit: true });
    assert.deepEqual([await first.waitForExit(), forced], [{ code: 0, signal: null }, opened.length]);

    const times = ends.map(({ at }) => at).sort((a, b) => a - b);
    const spread = (times.at(-1) ?? 0) - (times[0] ?? 0);
    assert.ok(spread > 300, `all were closed within ${spread} ms`);
    const mean = (path: string): number =>
      ends.filter((end) => end.path === path).reduce((sum, { at }) => sum + at, 0) / OF_EACH;
    assert.ok(mean('/events') < mean('/') && mean('/') < mean('/busy'), JSON.stringify(ends));
    for (const { path, answer } of opened) assert.equal(answer.complete, path !== '/busy', path);
  });

  it('--now: at once, and event streams end complete', async (test) => {
    const { stage, first } = await stageFor(test, '10m');
    const opened = await Promise.all(['/events', '/busy', '/events'].map((path) => open(stage, path)));
    assert.equal((await stage.space.run(['stop', '--name', 'app', '--now'])).code, 0);
    await first.waitForExit();
    for (const { path, closed, answer } of opened) {
      await closed;
      assert.equal(answer.complete, path === '/events', path);
    }
  });

  it('a drain that a stop shortens is spread over the end of what is left', async (test) => {
    const { stage, first } = await stageFor(test, '10m');
    const opened = await Promise.all(Array.from({ length: OF_EACH }, () => open(stage, '/busy')));
    const upgraded = await stage.upgrade();
    assert.equal(upgraded.code, 0, upgraded.stderr);
    await until(() => first.logs.some(({ to }) => to === 'draining'), { what: 'the drain' });
    process.kill(first.pid, 'SIGTERM');
    const times = (await Promise.all(opened.map(({ closed }) => closed))).sort((a, b) => a - b);
    const spread = (times.at(-1) ?? 0) - (times[0] ?? 0);
    assert.ok(spread > 300, `all were closed within ${spread} ms`);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });
});
