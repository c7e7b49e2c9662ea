import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Details } from '#src/base/errors.js';
import { freePort, makeCertificate, placesIn, type Result, until } from '../harness/index.js';
import { failureOf, get, rolledBack, type Scene, scene } from '../scene.js';

/** `answer`: the body of a request listener. */
const server = (answer: string, listen = 'server.listen(Number(process.env.PORT))'): string => `'use strict';
const server = require('node:http').createServer((request, response) => { ${answer} });
${listen};
`;
const HANGS = server('');
const WELL = server('response.end()');

async function serves(t: Parameters<typeof scene>[0], first: string, args: readonly string[]): Promise<Scene> {
  const stage = await scene(t, '', first);
  await stage.first(args);
  return stage;
}

const deploy = (stage: Scene, source: string): Promise<Result> => {
  stage.space.write('server.cjs', source);
  return stage.upgrade('--json');
};

const isUnhealthy = (result: Result, why: Details): void => {
  assert.deepEqual(rolledBack(result), { cause: 'ERR_MOTYA_UNHEALTHY', ...why });
};

for (const probation of ['2s', '200ms']) {
  test(`a health path that never answers fails a probation of ${probation}`, async (t) => {
    const stage = await serves(t, WELL, ['--probation', probation, '--health-path', '/healthz']);
    isUnhealthy(await deploy(stage, HANGS), { path: '/healthz', reason: 'ETIMEDOUT' });
    assert.equal((await stage.status()).generation, 1);
    assert.equal((await deploy(stage, WELL)).code, 0);
  });
}

test('a path is asked as a browser would write it; what is no path is refused by its place', async (t) => {
  const stage = await serves(t, WELL, ['--probation', '200ms', '--health-path', '/a b/日本?ok=ü']);
  const only = "response.writeHead(request.url === '/a%20b/%E6%97%A5%E6%9C%AC?ok=%C3%BC' ? 204 : 404).end()";
  assert.equal((await deploy(stage, server(only))).code, 0);

  for (const path of ['http://', 'https:///', '//host/path', '/\\host', '/a\tb', '/a#b', 'healthz', 'ftp://a/b']) {
    const yaml = `services: { web: { script: server.cjs } }\nhealth: { path: ${JSON.stringify(path)} }\n`;
    const config = stage.space.write('motya.yaml', yaml);
    const { code, stderr } = await stage.space.run(['check', '--config', config]);
    assert.deepEqual([path, code], [path, 2], stderr);
    assert.deepEqual(placesIn(stderr), [{ file: config, line: 2, column: 17, key: 'health.path' }]);
  }
});

test('an HTTPS program is asked over TLS, by its path and by the URL of its own listener', async (t) => {
  const stage = await scene(t, 'https.cjs');
  Object.assign(stage.space.env, await makeCertificate(stage.space.dir));
  for (const path of ['/', `https://127.0.0.1:${stage.port}/`]) {
    const first = await stage.first(['--probation', '200ms', '--health-path', path]);
    const { code, stderr } = await stage.upgrade();
    assert.equal(code, 0, stderr);
    process.kill(stage.mainPid as number, 'SIGTERM');
    await first.waitForExit();
    await until(() => stage.mainPid === undefined, { what: 'the end of the second one' });
  }
});

test('the certificate of another listener than the own ones is checked', async (t) => {
  const other = await scene(t, 'https.cjs');
  Object.assign(other.space.env, await makeCertificate(other.space.dir));
  await other.first();
  const url = `https://127.0.0.1:${other.port}/`;
  const stage = await serves(t, WELL, ['--probation', '200ms', '--health-path', url]);
  isUnhealthy(await deploy(stage, WELL), { path: url, reason: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
});

test('without a TCP listener: unix sockets are asked, also abstract ones', async (t) => {
  for (const path of ['./web.sock', '\0health-test']) {
    const listen = `server.listen(${JSON.stringify(path)})`;
    const stage = await serves(t, server('response.end()', listen), [
      '--probation',
      '200ms',
      ...['--health-path', '/healthz'],
    ]);
    assert.equal((await deploy(stage, server('response.end()', listen))).code, 0);
    const fails = server('response.writeHead(503).end()', listen);
    isUnhealthy(await deploy(stage, fails), { path: '/healthz', status: 503 });
  }
});

test('nobody is asked in the place of a program without a stream listener', async (t) => {
  const datagrams = "require('node:dgram').createSocket('udp4').bind(Number(process.env.PORT), '127.0.0.1');";
  const refused = await scene(t, '', datagrams);
  const child = refused.start(['--health-path', '/healthz']);
  assert.equal((await child.waitForExit()).code, 1);
  assert.equal(failureOf(child).code, 'ERR_MOTYA_HEALTH_PATH');

  const ready = "process.send('ready'); setInterval(() => {}, 1_000);";
  const stage = await scene(t, '', ready);
  await stage.first(['--probation', '200ms', '--ready', 'signal', '--health-path', '/healthz']);
  isUnhealthy(await stage.upgrade('--json'), { path: '/healthz', reason: 'ERR_MOTYA_HEALTH_PATH' });
});

test('of several services the first of the settings is asked, or the one that the URL says', async (t) => {
  const stage = await scene(t, '', WELL);
  const [port, admin] = [stage.port, await freePort()];
  stage.space.write('admin.cjs', server('response.writeHead(500).end()'));
  const services = `  web: { script: server.cjs, env: { PORT: ${port} } }\n  admin: { script: admin.cjs, env: { PORT: ${admin} } }\n`;
  const settings = (path: string): string =>
    stage.space.write('motya.yaml', `name: app\nhealth: { path: '${path}' }\nservices:\n${services}`);
  const config = settings('/healthz');
  const first = stage.space.motya(['start', '--config', config, '--probation', '200ms']);
  await first.waitFor('serving');
  assert.equal((await get(admin)).status, 500);
  assert.equal((await stage.upgrade()).code, 0);
  settings(`http://localhost:${admin}/`);
  isUnhealthy(await stage.upgrade('--json'), { path: `http://localhost:${admin}/`, status: 500 });
});
