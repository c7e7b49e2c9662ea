import assert from 'node:assert/strict';
import { Agent, request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { type Child, freePort, type Result, until } from '../harness/index.js';
import { isRefused, type Scene, scene } from '../scene.js';
import { answerOn, command, program } from './opens-when-asked.js';

const PROBATION = ['--probation', '10m'] as const;

interface Stage {
  readonly stage: Scene;
  readonly first: Child;
  /** An address beside the program's main one, as the program is asked for it. */
  readonly other: string;
}

/** Version `one` serves on its port and on `other`. */
async function begin(t: TestContext, kind: 'tcp' | 'unix' | 'udp', probation: readonly string[]): Promise<Stage> {
  const stage = await scene(t, '', program('one'));
  const other = kind === 'unix' ? `unix=${stage.space.path('other.sock')}` : `${kind}=${await freePort()}`;
  stage.space.write('server.cjs', program('one', [other]));
  const first = await stage.first([...probation]);
  await until(async () => (await answerOn(other)) === 'one', { what: `an answer on ${other}` });
  return { stage, first, other };
}

const objects = ({ stdout }: Result): Record<string, unknown>[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

const outcome = (result: Result): Record<string, unknown> => objects(result).at(-1) ?? {};

const removedIn = (result: Result): { key: string; open: number }[] => {
  const { removed } = (objects(result).find(({ live }) => live !== undefined)?.live ?? {}) as {
    removed?: { key: string; open: number }[];
  };
  return removed ?? [];
};

for (const kind of ['tcp', 'unix', 'udp'] as const) {
  test(`a listener (${kind}) that the new version opens while it is on probation is kept`, async (t) => {
    const { stage, first, other } = await begin(t, kind, ['--probation', '1500ms']);
    stage.space.write('server.cjs', program('two'));
    const upgrading = stage.upgrade('--json');
    await until(async () => (await command(stage, '/')) === 'two', { what: 'the new version' });
    // Until the new version opens it the old one serves on it.
    if (kind !== 'udp') assert.equal(await answerOn(other), 'one');
    assert.equal(await command(stage, `/open?${encodeURIComponent(other)}`), 'open');
    await until(async () => (await answerOn(other)) === 'two', { what: 'the new version alone' });
    const result = await upgrading;
    assert.equal(result.code, 0, result.stdout);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.equal(await answerOn(other), 'two');
    // The next upgrade hands it over at once: the version opens it as it starts.
    stage.space.write('server.cjs', program('three', [other]));
    const next = await stage.upgrade('--json', '--detach');
    assert.equal(next.code, 0, next.stdout);
    await until(async () => (await answerOn(other)) === 'three', { what: 'version three' });
  });

  test(`a listener (${kind}) that the new version closes and opens again on probation is kept`, async (t) => {
    const { stage, first, other } = await begin(t, kind, ['--probation', '1500ms']);
    stage.space.write('server.cjs', program('two', [other]));
    const upgrading = stage.upgrade('--json');
    await until(async () => (await command(stage, '/')) === 'two', { what: 'the new version' });
    const name = encodeURIComponent(other);
    assert.equal(await command(stage, `/close?${name}`), 'closed');
    assert.equal(await command(stage, `/open?${name}`), 'open');
    assert.equal((await upgrading).code, 0);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.equal(await answerOn(other), 'two');
  });
}

test('READY waits for a listener that the program opened late in the version before', async (t) => {
  const stage = await scene(t, '', program('one'));
  const other = `tcp=${await freePort()}`;
  const late = (version: string): string =>
    program(version, [], `setTimeout(() => open(${JSON.stringify(other)}, console.log), 700);`);
  stage.space.write('server.cjs', late('one'));
  await stage.first(['--probation', '0']);
  await until(() => answerOn(other).catch(() => null), { what: 'the late listener' });
  stage.space.write('server.cjs', late('two'));
  const result = await stage.upgrade('--json');
  assert.equal(result.code, 0, result.stdout);
  assert.deepEqual(outcome(result).removed, []);
  assert.equal(await answerOn(other), 'two');
});

test('a listener that the new version leaves out, though clients come to it: rolled back, unless that is allowed', async (t) => {
  const { stage, first, other } = await begin(t, 'tcp', ['--probation', '1s']);
  stage.space.write('server.cjs', program('two'));
  const upgrading = stage.upgrade('--json');
  await until(async () => (await command(stage, '/')) === 'two', { what: 'the new version' });
  assert.equal(await answerOn(other), 'one');
  const result = await upgrading;
  assert.equal(result.code, 6, result.stdout);
  assert.equal(removedIn(result).length, 1);
  const rolledBack = await first.waitFor('rolled-back');
  assert.equal(rolledBack.code, 'ERR_MOTYA_REMOVED_IN_USE');
  assert.equal(await command(stage, '/'), 'one');
  assert.equal(await answerOn(other), 'one');

  const allowing = stage.upgrade('--json', '--allow-removed');
  await until(async () => (await command(stage, '/')) === 'two', { what: 'the new version' });
  assert.equal(await answerOn(other), 'one');
  const allowed = await allowing;
  assert.equal(allowed.code, 0, allowed.stdout);
  await until(() => isRefused(portOf(other)), { what: 'the listener to be closed' });
});

test('a listener that the new version leaves out and to which no client comes ends with a warning', async (t) => {
  const { stage, first, other } = await begin(t, 'tcp', ['--probation', '300ms']);
  stage.space.write('server.cjs', program('two'));
  const result = await stage.upgrade('--json');
  assert.equal(result.code, 0, result.stdout);
  assert.deepEqual(
    removedIn(result).map(({ key, open }) => ({ key, open })),
    [{ key: `tcp://127.0.0.1:${portOf(other)}`, open: 0 }],
  );
  await first.waitFor('removed');
  await until(() => isRefused(portOf(other)), { what: 'the listener to be closed' });
});

test('a listener that is left out is told of with its open connections', async (t) => {
  const { stage, other } = await begin(t, 'tcp', ['--probation', '0', '--drain-timeout', '1s']);
  const agent = new Agent({ keepAlive: true });
  t.after(() => agent.destroy());
  const sent = request({ port: portOf(other), host: '127.0.0.1', agent, headers: { connection: 'keep-alive' } });
  sent.end();
  await until(() => (sent.socket?.connecting === false ? true : null), { what: 'a connection' });
  stage.space.write('server.cjs', program('two'));
  const result = await stage.upgrade('--json');
  assert.equal(result.code, 0, result.stdout);
  const { removed } = outcome(result) as { removed: { key: string }[] };
  assert.equal(removed[0]?.key, `tcp://127.0.0.1:${portOf(other)}`);
});

test('a rollback by hand: the old version answers on all that it had, whatever the new one had opened', async (t) => {
  const { stage, other } = await begin(t, 'tcp', PROBATION);
  stage.space.write('server.cjs', program('two'));
  assert.equal((await stage.upgrade('--detach')).code, 0);
  assert.equal(await command(stage, `/open?${other}`), 'open');
  await until(async () => (await answerOn(other)) === 'two', { what: 'the new version' });
  const rolled = await stage.space.run(['rollback', '--name', 'app']);
  assert.equal(rolled.code, 0, rolled.stderr);
  assert.equal(await answerOn(other), 'one');
  assert.equal(await command(stage, '/'), 'one');
});

test('a version that listens and cannot accept: rolled back, and the clients that wait are served', async (t) => {
  const { stage, first, other } = await begin(t, 'tcp', ['--probation', '4s']);
  // `/open?fill=` uses the file descriptors up, again and again.
  const fill = `
const fs = require('node:fs');
const fill = () => { try { for (;;) fs.openSync('/dev/null'); } catch {} };
servers.set('fill=', { close() {} });`;
  const source = program('two', [other], fill).replace(
    'function open(name, done) {',
    (line) => `${line}\n  if (name === 'fill=') { done('open'); setInterval(fill, 10); return; }`,
  );
  stage.space.write('server.cjs', source);
  const upgrading = stage.upgrade('--json');
  await until(async () => (await command(stage, '/')) === 'two', { what: 'the new version' });
  assert.equal(await command(stage, '/open?fill='), 'open');
  // The new version answers as long as it can; a client that waits is answered by the old one.
  await until(async () => (await answerOn(other)) === 'one', { what: 'the old version' });
  const result = await upgrading;
  assert.equal(result.code, 6, result.stdout);
  assert.equal((await first.waitFor('rolled-back')).code, 'ERR_MOTYA_CLIENTS_WAITING');
  assert.equal(await command(stage, '/'), 'one');
});

test('a program that stops to turn at the end of its probation: rolled back with that reason', async (t) => {
  const { stage, first, other } = await begin(t, 'tcp', ['--probation', '4s']);
  stage.space.write('server.cjs', program('two', [other], "process.on('SIGUSR2', () => { for (;;); });"));
  const upgrading = stage.upgrade('--json');
  await until(async () => (await command(stage, '/')) === 'two', { what: 'the new version' });
  process.kill(await workerOf(stage), 'SIGUSR2');
  const stands = async () => {
    const { services, probation } = await stage.status();
    return services[0]?.workers[0]?.answers === false ? Date.parse(probation?.until ?? '') : null;
  };
  const end = await until(stands, { what: 'a loop that stands' });
  // A client that comes at the very end is in the queue, and not in the program.
  await until(() => Date.now() > end - 500, { what: 'the end of the probation' });
  const waits = answerOn(other);
  const result = await upgrading;
  assert.equal(result.code, 6, result.stdout);
  assert.equal((await first.waitFor('rolled-back')).code, 'ERR_MOTYA_CLIENTS_WAITING');
  assert.equal(await waits, 'one');
});

test('a listener that is left out, and whose old program does not answer: rolled back, for clients may come to it', async (t) => {
  const stage = await scene(t, '', program('one'));
  const other = `tcp=${await freePort()}`;
  const end = stage.space.path('end');
  const spins = `process.on('SIGUSR2', () => { while (!require('node:fs').existsSync(${JSON.stringify(end)})); });`;
  stage.space.write('server.cjs', program('one', [other], spins));
  const first = await stage.first(['--probation', '1s']);
  await until(async () => (await answerOn(other)) === 'one', { what: `an answer on ${other}` });
  const worker = await workerOf(stage);
  stage.space.write('server.cjs', program('two'));
  const upgrading = stage.upgrade('--json');
  await first.waitFor('probation');
  process.kill(worker, 'SIGUSR2');
  const waits = answerOn(other);
  try {
    assert.equal((await first.waitFor('rolled-back')).code, 'ERR_MOTYA_REMOVED_IN_USE');
  } finally {
    stage.space.write('end', '');
  }
  assert.equal((await upgrading).code, 6);
  assert.equal(await waits, 'one');
});

test('a program that always has clients in its queue, for it is busy, passes', async (t) => {
  const { stage, first, other } = await begin(t, 'tcp', ['--probation', '1s']);
  const busy = 'const end = Date.now() + 20; while (Date.now() < end);';
  stage.space.write(
    'server.cjs',
    program('two', [other]).replace('(request, response) => {', (head) => `${head} ${busy}`),
  );
  let isOver = false;
  const clients = Array.from({ length: 20 }, async () => {
    while (!isOver) assert.match(await answerOn(other), /^(one|two)$/);
  });
  try {
    const result = await stage.upgrade('--json');
    assert.equal(result.code, 0, result.stdout);
    assert.equal(outcome(result).code, 'LIVE');
    assert.ok(!first.logs.some(({ event }) => event === 'rolled-back'));
  } finally {
    isOver = true;
    await Promise.all(clients);
  }
});

const workerOf = async (stage: Scene): Promise<number> => (await stage.status()).services[0]?.workers[0]?.pid as number;

const portOf = (name: string): number => Number(name.split('=')[1]);
