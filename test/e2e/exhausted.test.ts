import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { until } from './harness/index.js';
import { scene } from './scene.js';

const CLIENTS = 40;
/** Fds that the worker may still open. */
const ROOM = 8;

const limit = (pid: number, fds: number): void => {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${fds}:`]);
};

/** No room for more fds than are open now, and none for fewer. */
function exhaust(pid: number): void {
  const open = readdirSync(`/proc/${pid}/fd`).map(Number);
  let free = 0;
  while (open.includes(free)) free += 1;
  limit(pid, free);
}

test('a supervisor without fds whose worker crashes: it tries again until it has some', async (t) => {
  const stage = await scene(t);
  const first = await stage.first();
  exhaust(first.pid);
  process.kill((await stage.who()).pid, 'SIGKILL');
  const { inMs } = await first.waitFor(({ event, code }) => event === 'worker-exit' && code === 'EMFILE');
  assert.ok(Number(inMs) > 0);
  limit(first.pid, 1000);
  await first.waitFor('worker-restart');
  assert.equal((await stage.who()).generation, '1');
  assert.equal((await stage.upgrade()).code, 0);
  await first.waitForExit();
});

test('an incumbent on probation without fds is the one that serves after a rollback', async (t) => {
  const stage = await scene(t);
  const first = await stage.first(['--probation', '10m']);
  assert.equal((await stage.upgrade('--detach')).code, 0);
  exhaust(first.pid);
  const rolledBack = await stage.space.run(['rollback', '--name', 'app']);
  assert.equal(rolledBack.code, 0, rolledBack.stderr);
  assert.equal((await stage.who()).generation, '1');
  limit(first.pid, 1000);
  await until(async () => (await stage.upgrade('--detach').catch(() => null))?.code === 0, { what: 'an upgrade' });
});

test('a worker without fds: whoever waits is answered when it has some, nobody is hung up on', async (t) => {
  const stage = await scene(t);
  const first = await stage.first();
  const pid = (await stage.who()).pid;
  const open = new Set(readdirSync(`/proc/${pid}/fd`));
  let most = 0;
  while (open.has(String(most))) most += 1;
  limit(pid, most + ROOM);

  const answered = new Set<Socket>();
  const ends: string[] = [];
  const sockets = Array.from({ length: CLIENTS }, () => {
    const socket = connect(stage.port, '127.0.0.1');
    socket.on('connect', () => socket.write('GET / HTTP/1.1\r\nHost: here\r\n\r\n'));
    socket.once('data', () => answered.add(socket));
    socket.on('error', (error) => ends.push(error.message));
    socket.on('end', () => ends.push('end'));
    return socket;
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  const warning = await first.waitFor('exhausted');
  assert.deepEqual([warning.index, warning.reason], [0, 'EMFILE']);
  assert.deepEqual(ends, []);
  assert.ok(answered.size < CLIENTS);

  // Each that goes makes room for one that waits.
  await until(
    () => {
      for (const socket of answered) socket.destroy();
      return answered.size === CLIENTS || ends.length > 0;
    },
    { what: 'an answer to everybody', instead: () => answered.size },
  );
  assert.deepEqual(ends, []);
  // The same process: no 'error' was thrown at its program.
  assert.equal((await stage.who()).pid, pid);

  limit(pid, most + 1000);
  assert.equal((await stage.upgrade()).code, 0);
  assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
});
