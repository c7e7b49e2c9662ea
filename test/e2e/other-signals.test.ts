import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { DEADLY, PASSABLE } from '#src/base/os/signal-names.js';
import { type Child, isAlive, until } from './harness/index.js';
import { program, type Scene, scene } from './scene.js';

/** Writes the signals that it gets on stdout. */
const LISTENS = `for (const name of ${JSON.stringify(PASSABLE.map((name) => `SIG${name}`))}) {
  process.on(name, () => console.log('got ' + name));
}`;

const serving = async (
  t: Parameters<typeof scene>[0],
  settings: string,
  ...args: string[]
): Promise<[Scene, Child]> => {
  const stage = await scene(t, '', program('one', LISTENS));
  const config = stage.space.write('motya.yaml', `services: { web: { script: server.cjs } }\n${settings}`);
  const env = { PORT: String(stage.port) };
  const first = stage.space.motya(['start', '--config', config, '--name', 'app', ...args], { env });
  await first.waitFor('serving');
  return [stage, first];
};

const timesHeard = ({ said }: Child, signal: string): number => said.filter((line) => line === `got ${signal}`).length;
const heard = (child: Child, signal: string): boolean => timesHeard(child, signal) > 0;

test('no signal that means nothing ends an instance; each is told of', async (t) => {
  const [stage, first] = await serving(t, '');
  const second = await stage.waiting();
  for (const child of [first, second]) {
    for (const signal of DEADLY) {
      child.kill(signal);
      await child.waitFor((line) => line.event === 'ignored-signal' && line.signal === signal);
    }
    // Real-time signals have no names in Node; any that means nothing shows that the instance goes on.
    for (const number of [34, 40, 64]) execFileSync('kill', [`-${number}`, String(child.pid)]);
    child.kill('SIGUSR2');
    await until(() => child.logs.filter(({ signal }) => signal === 'SIGUSR2').length > 1, { what: 'a second SIGUSR2' });
    assert.equal(isAlive(child.pid), true);
  }
  assert.equal((await stage.who()).pid > 0, true);
  assert.equal(
    PASSABLE.some((name) => heard(first, `SIG${name}`)),
    false,
  );
});

test('signals that the settings pass on come to the programs, of each generation', async (t) => {
  const [stage, first] = await serving(t, 'signals: { USR2: pass, HUP: pass }\nprobation: 0\n');
  for (const signal of ['SIGUSR2', 'SIGHUP'] as const) {
    first.kill(signal);
    await until(() => heard(first, signal), { what: `${signal} in the program` });
  }
  // One that drains passes them on, too.
  const held = await stage.hold();
  const upgraded = await stage.upgrade('--detach');
  assert.equal(upgraded.code, 0, upgraded.stderr);
  first.kill('SIGUSR2');
  await until(() => timesHeard(first, 'SIGUSR2') === 2, {
    what: 'a second one',
  });
  held.finish();
  await held.answer;
  await first.waitForExit();
});

test('motya signal: to the programs, whatever the settings say; refused for those that end them', async (t) => {
  const [stage, first] = await serving(t, '');
  const { code, stderr } = await stage.space.run(['signal', 'usr2', '--name', 'app']);
  assert.equal(code, 0, stderr);
  await until(() => heard(first, 'SIGUSR2'), { what: 'SIGUSR2 in the program' });
  for (const word of ['TERM', 'KILL', 'nonsense', '']) {
    assert.equal((await stage.space.run(['signal', word, '--name', 'app'])).code, 2, word);
  }
});

test('a keeper passes them on to the instance that serves', async (t) => {
  const [, keeper] = await serving(t, 'signals: { USR2: pass }\n', '--keeper');
  keeper.kill('SIGUSR1');
  await keeper.waitFor((line) => line.event === 'ignored-signal' && line.signal === 'SIGUSR1');
  keeper.kill('SIGUSR2');
  await until(() => heard(keeper, 'SIGUSR2'), { what: 'SIGUSR2 in the program' });
});

test('killSignal: what a program cleans up at SIGINT alone is cleaned up', async (t) => {
  const source = program('one', "process.on('SIGINT', () => { console.log('cleaned up'); process.exit(); });");
  const stage = await scene(t, '', source);
  const config = stage.space.write('motya.yaml', 'services: { web: { script: server.cjs, killSignal: INT } }\n');
  const first = stage.space.motya(['start', '--config', config, '--name', 'app'], {
    env: { PORT: String(stage.port) },
  });
  await first.waitFor('serving');
  assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
  await first.waitForExit();
  assert.ok(first.said.includes('cleaned up'), first.describe());
});
