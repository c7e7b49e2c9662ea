import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { watchIncumbent } from '#src/control/client.js';
import { failureOf, program, scene, servesAs } from './scene.js';

/** In which order an upgrade is asked for and its successor started: the table in docs/internals/protocol.md. */
describe('a successor that comes after the upgrade it was meant for', () => {
  it('SIGQUIT, then start --upgrade once another one serves: it ends, and no later upgrade deploys old code', async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    let version = 1;
    for (const [generation, next] of [
      [2, 'two'],
      [3, 'three'],
    ] as const) {
      stage.space.write('server.cjs', program(next));
      process.kill((await stage.status()).pid, 'SIGQUIT');
      await servesAs(first, generation);
      const late = stage.start(['--upgrade']);
      assert.equal((await late.waitForExit()).code, 1, late.describe());
      assert.equal(failureOf(late).code, 'ERR_MOTYA_SUCCESSOR_LATE');
      assert.equal((await stage.who()).version, next);
      version += 1;
      assert.equal((await stage.status()).generation, version);
    }
  });

  it('motya upgrade: one that was started before it ends, one that is started later waits for the next', async (test) => {
    const stage = await scene(test, '', program('one'));
    await stage.first();
    assert.equal((await stage.upgrade()).code, 0);
    const controlSocket = `${stage.space.runtimeDir}/motya/app.control.sock`;
    const from = { scripts: [], cwds: [], source: null, fingerprint: '' };
    await assert.rejects(watchIncumbent(controlSocket, { age: 600_000, program: from }), {
      code: 'ERR_MOTYA_SUCCESSOR_LATE',
    });
    (await watchIncumbent(controlSocket, { age: 0, program: from })).close();
    const second = await stage.waiting();
    assert.equal((await stage.upgrade()).code, 0);
    assert.equal(stage.mainPid, second.pid);
  });
});

describe('a successor that has waited since before the command', () => {
  it('is told of when it is taken', async (test) => {
    const stage = await scene(test, '', program('one'));
    await stage.first();
    const second = await stage.waiting();
    const { code, stdout } = await stage.upgrade('--json');
    assert.equal(code, 0);
    const { phase, waited } = JSON.parse(stdout.split('\n')[0] ?? '') as {
      phase: string;
      waited?: { pid: number; ms: number };
    };
    assert.deepEqual([phase, waited?.pid], ['finding', second.pid]);
    assert.ok((waited?.ms ?? 0) > 0);
  });

  it('is not taken when the files of the program are newer: a fresh one is, and it ends', async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    const old = await stage.waiting();
    stage.space.write('server.cjs', program('two'));
    const { code, stdout, stderr } = await stage.upgrade('--json');
    assert.equal(code, 0, stderr);
    const { phase, stale } = JSON.parse(stdout.split('\n')[0] ?? '') as { phase: string; stale?: { pid: number } };
    assert.deepEqual([phase, stale?.pid], ['finding', old.pid]);
    assert.equal((await stage.who()).version, 'two');
    assert.equal((await old.waitForExit()).code, 1);
    assert.equal(failureOf(old).code, 'ERR_MOTYA_SUCCESSOR_STALE');

    const third = await stage.waiting();
    stage.space.write('server.cjs', program('three'));
    process.kill((await stage.status()).pid, 'SIGQUIT');
    assert.equal((await third.waitForExit()).code, 1);
    assert.equal(failureOf(third).code, 'ERR_MOTYA_SUCCESSOR_STALE');
    await servesAs(first, 3);
    assert.equal((await stage.who()).version, 'three');
  });

  it('files that cannot be looked at fail neither its start nor the upgrade', async (test) => {
    const stage = await scene(test, '', program('one'));
    stage.space.write('package.json', '{}');
    const modules = stage.space.path('node_modules');
    const first = await stage.first();
    await stage.waiting();
    symlinkSync(modules, modules);
    const upgraded = await stage.upgrade();
    assert.equal(upgraded.code, 0, upgraded.stderr);
    await stage.waiting();
    assert.equal((await stage.upgrade()).code, 0);
    await servesAs(first, 2);
  });
});
