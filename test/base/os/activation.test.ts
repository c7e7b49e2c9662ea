import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import { takeActivated } from '#src/base/os/activation.js';
import { get, scene } from '../../e2e/scene.js';

function taken(env: NodeJS.ProcessEnv): { fds: number[]; warnings: string[]; env: NodeJS.ProcessEnv } {
  const warnings: string[] = [];
  const left = { ...env };
  const fds = takeActivated(left, (text) => warnings.push(text)).map(({ fd }) => fd);
  return { fds, warnings, env: left };
}

describe('LISTEN_FDS', () => {
  it('is nothing without the variable', () => {
    assert.deepEqual(taken({}), { fds: [], warnings: [], env: {} });
  });

  it('for another pid is ignored, says so, and goes to no child', () => {
    const { fds, warnings, env } = taken({ LISTEN_FDS: '2', LISTEN_PID: '1', LISTEN_FDNAMES: 'a:b' });
    assert.deepEqual([fds, env], [[], {}]);
    assert.deepEqual(warnings, [`LISTEN_FDS=2 is for pid 1, not for this process (${process.pid}); it is ignored`]);
  });

  it('that is no number, or names fds that are not open, is ignored and says so', () => {
    const pid = String(process.pid);
    assert.match(taken({ LISTEN_FDS: 'two', LISTEN_PID: pid }).warnings.join(), /LISTEN_FDS=two is not a number/);
    const { warnings } = taken({ LISTEN_FDS: '900', LISTEN_PID: pid });
    assert.match(warnings.at(-1) ?? '', /LISTEN_FDS=900 announces fd 902, which is not open; it is ignored/);
  });
});

test('an instance serves on when its manager cannot be told anything, and says so once', async (context) => {
  const stage = await scene(context);
  const first = await stage.first([], { NOTIFY_SOCKET: stage.space.path('gone'), LISTEN_FDS: '1', LISTEN_PID: '1' });
  assert.equal((await get(stage.port)).status, 200);
  assert.equal((await stage.upgrade()).code, 0);
  const warnings = first.logs.filter(({ event, generation }) => event === 'manager' && generation === 1);
  assert.deepEqual(
    warnings.map(({ message }) => message),
    [
      'the service manager cannot be told anything: sendmsg ENOENT: no such file or directory',
      `LISTEN_FDS=1 is for pid 1, not for this process (${first.pid}); it is ignored`,
    ],
  );
  await first.waitForExit();
});

test('a program that asks for a socket that was not passed is told so', async (context) => {
  const stage = await scene(context, '', "require('node:http').createServer().listen('systemd:http');");
  const child = stage.start();
  assert.deepEqual(await child.waitForExit(), { code: 1, signal: null });
  assert.match(child.stderr, /listen EADDRNOTAVAIL/);
});
