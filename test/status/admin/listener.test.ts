import assert from 'node:assert/strict';
import { existsSync, rmSync, statSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { isOwnName } from '#src/status/admin/routes.js';
import { fdCount, freePort, until } from '../../e2e/harness/index.js';
import { failureOf, program, scene } from '../../e2e/scene.js';
import { adminSocket, look, Scrape, statusOf } from './support.js';

test('each path answers, on a socket for its user alone; nothing can be changed', async (t) => {
  const stage = await scene(t);
  await stage.first();
  const at = adminSocket(stage);
  assert.equal(statSync(at).mode & 0o777, 0o600);
  const kinds = {
    '/': /^text\/html; charset=utf-8$/,
    '/page.css': /^text\/css; charset=utf-8$/,
    '/page.js': /^text\/javascript; charset=utf-8$/,
    '/healthz': /^text\/plain/,
    '/readyz?verbose': /^text\/plain/,
    '/status.json': /^application\/json$/,
    '/metrics': /^text\/plain; version=0\.0\.4; charset=utf-8$/,
  };
  for (const [path, type] of Object.entries(kinds)) {
    const answer = await look(at, path);
    assert.equal(answer.status, 200, path);
    assert.match(String(answer.headers['content-type']), type);
    assert.match(String(answer.headers['content-security-policy']), /^default-src 'self'; /);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff');
    assert.equal(answer.headers['cache-control'], 'no-store');
    assert.equal(answer.headers.connection, 'close', 'the next request may be the successor’s');
    const head = await look(at, path, { method: 'HEAD' });
    assert.deepEqual([head.status, head.body], [200, '']);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      const refused = await look(at, path, { method });
      assert.deepEqual([refused.status, refused.headers.allow], [405, 'GET, HEAD'], `${method} ${path}`);
    }
  }
  for (const path of ['/nothing', '/page', '/../package.json', '/constructor', '//', '/%2e%2e/server.js']) {
    assert.equal((await look(at, path)).status, 404, path);
  }
  // One model, wherever it is looked at.
  const { services, ...seen } = await statusOf(at);
  const { services: told, ...same } = await stage.status();
  const volatile = { uptime: 0, phaseMs: 0, supervisor: null };
  assert.deepEqual({ ...seen, ...volatile }, { ...same, ...volatile });
  assert.deepEqual(
    services.map(({ name, workers }) => [name, workers.map(({ pid, state }) => [pid, state])]),
    told.map(({ name, workers }) => [name, workers.map(({ pid, state }) => [pid, state])]),
  );
});

test('ready before LIVE, over an upgrade and while it stops', async (t) => {
  const stage = await scene(t, 'ready-later.mjs');
  const file = stage.space.path('ready');
  const first = stage.start(['--ready', 'signal'], { READY_FILE: file });
  const at = adminSocket(stage);
  const ready = async () => {
    const { status, body } = await look(at, '/readyz');
    return `${status} ${body.trim()}`;
  };
  const answers = () =>
    ready().then(
      () => true,
      () => false,
    );
  await until(answers, { what: 'the admin listener' });
  assert.equal(await ready(), '503 starting');
  assert.equal((await look(at, '/healthz')).status, 200);
  stage.space.write('ready', '');
  await first.waitFor('serving');
  assert.equal(await ready(), '200 serving');

  const seen = new Set<string>();
  let looking = true;
  const looks = (async () => {
    while (looking) seen.add(await ready());
  })();
  // The successor is ready when there is the file.
  rmSync(file);
  const upgrading = stage.upgrade();
  await until(() => seen.has('200 awaiting'), { what: '200 awaiting', instead: () => [...seen] });
  stage.space.write('ready', '');
  const { code, stderr } = await upgrading;
  assert.equal(code, 0, stderr);
  await until(async () => (await statusOf(at)).generation === 2, { what: 'the successor' });
  looking = false;
  await looks;
  // Never out of the load balancer, however long the successor needs to boot.
  assert.deepEqual(
    [...seen].filter((answer) => !answer.startsWith('200')),
    [],
  );

  const held = await stage.hold();
  stage.space.motya(['stop', '--name', 'app']);
  await until(async () => (await ready()) === '503 stopping', { what: '503' });
  assert.equal((await look(at, '/healthz')).status, 200);
  // First its listeners run dry.
  const own = await until(async () => (await statusOf(at)).draining[0], { what: 'the drain' });
  assert.deepEqual([own.generation, own.connections], [2, 1]);
  held.finish();
  await held.answer;
  await stage.space.nothingLeft();
  assert.equal(existsSync(at), false);
});

test('TCP: by its address or as localhost, by no other name; kept over an upgrade', async (t) => {
  const stage = await scene(t);
  const port = await freePort();
  await stage.first(['--admin', `tcp://127.0.0.1:${port}`]);
  assert.equal(existsSync(adminSocket(stage)), false);
  const as = async (host: string) => (await look(port, '/status.json', { headers: { host } })).status;
  for (const host of ['127.0.0.1', `localhost:${port}`, 'LOCALHOST', '[::1]:9', '10.1.2.3'])
    assert.equal(await as(host), 200, host);
  for (const host of ['evil.example', `localhost.evil.example:${port}`, 'a:b:c', '127.0.0.1.nip.io']) {
    assert.equal(await as(host), 421, host);
  }
  for (const none of [undefined, '', '[]', ':80']) assert.equal(isOwnName(none), false);
  assert.equal((await stage.status()).admin, `tcp://127.0.0.1:${port}`);
  assert.equal((await stage.upgrade()).code, 0);
  assert.equal((await statusOf(port)).generation, 2);
});

test('an address in use: the start fails, and says which process has it', async (t) => {
  const stage = await scene(t);
  const other = createServer().listen(await freePort(), '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as { port: number };
  const child = stage.start(['--admin', `tcp://127.0.0.1:${port}`]);
  assert.deepEqual(await child.waitForExit(), { code: 1, signal: null });
  assert.match(
    failureOf(child).message,
    new RegExp(`^service \\(admin\\): bind EADDRINUSE tcp://127\\.0\\.0\\.1:${port} \\(pid ${process.pid} `),
  );
  other.close();
});

test('a program that wants the same address is refused', async (t) => {
  const port = await freePort();
  const source = program(
    'one',
    `require('node:http').createServer().on('error', (error) => console.log('refused', error.code)).listen(${port}, '127.0.0.1');`,
  );
  const stage = await scene(t, '', source);
  const first = await stage.first(['--admin', `tcp://127.0.0.1:${port}`]);
  await first.waitForStdout(/refused EADDRINUSE/);
  assert.equal((await statusOf(port)).generation, 1);
});

test('switched off and on by upgrades', async (t) => {
  const stage = await scene(t);
  await stage.first();
  const at = adminSocket(stage);
  const second = await stage.waiting(['--admin', 'off']);
  assert.equal((await stage.upgrade()).code, 0);
  assert.equal(existsSync(at), false);
  assert.deepEqual([(await stage.status()).pid, (await stage.status()).admin], [second.pid, null]);
  await stage.waiting([]);
  assert.equal((await stage.upgrade()).code, 0);
  assert.equal((await statusOf(at)).generation, 3);
});

test('silence, garbage and a flood cost nothing and keep no client out', async (t) => {
  const stage = await scene(t);
  const first = await stage.first();
  const at = adminSocket(stage);
  await statusOf(at);
  const before = fdCount(first.pid);
  let ended = 0;
  const open = (greeting: string): Promise<Socket> =>
    new Promise((resolve) => {
      const socket = connect(at, () => {
        socket.write(greeting);
        resolve(socket);
      });
      socket.on('error', () => {});
      socket.on('data', () => {});
      socket.on('close', () => {
        ended += 1;
      });
    });
  const count = 300;
  const greetings = [
    '',
    'GET /metr',
    '\0\xff\r\n\r\n',
    `GET /${'x'.repeat(20_000)} HTTP/1.1\r\n\r\n`,
    'GET / HTTP/1.1\r\nHost: a\r\n',
  ];
  for (let n = 0; n < count; n += 1) await open(greetings[n % greetings.length] as string);
  assert.equal((await look(at, '/healthz')).status, 200);
  assert.equal((await stage.who()).generation, '1');
  assert.ok(fdCount(first.pid) < before + 100, `${fdCount(first.pid)} fds, ${before} before`);
  await until(() => ended === count, { what: 'the end of all', instead: () => ended });
  await until(() => fdCount(first.pid) <= before, {
    what: 'fds as before',
    instead: () => fdCount(first.pid) - before,
  });
  // Many who ask at the same time get one answer.
  const answers = await Promise.all(Array.from({ length: 50 }, () => look(at, '/metrics')));
  assert.ok(new Set(answers.map(({ body }) => body)).size < 25);
  for (const { body } of answers) assert.equal(new Scrape(body).get('motya_generation'), 1);
});
