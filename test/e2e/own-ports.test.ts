import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { test } from 'node:test';
import { freePort, until } from './harness/index.js';
import { get, type Scene, scene } from './scene.js';

/** Takes another port when a server answers on its own, as `serve` does; `by`: how it connects. */
const probing = (by: string): string => `'use strict';
const http = require('node:http');
const net = require('node:net');
const port = Number(process.env.PORT);
const socket = net.connect(${by});
const serve = (port) => http.createServer((_, response) => {
  response.setHeader('connection', 'close');
  response.end(process.env.MOTYA_GENERATION);
}).listen(port, '127.0.0.1');
socket.on('connect', () => { socket.destroy(); serve(0); }).on('error', () => serve(port));
`;

async function keepsItsPort(stage: Scene): Promise<void> {
  await stage.first(['--probation', '0']);
  await until(async () => (await get(stage.port)).body === '1', { what: 'the first version' });
  // One that the instance starts, and one that has booted before.
  assert.equal((await stage.upgrade()).code, 0);
  assert.equal((await get(stage.port)).body, '2');
  await stage.waiting(['--probation', '0']);
  assert.equal((await stage.upgrade()).code, 0);
  assert.equal((await get(stage.port)).body, '3');
}

for (const by of ["port, 'localhost'", "{ port, host: '127.0.0.1' }", 'String(port)']) {
  test(`a program that looks whether its own port answers (net.connect(${by})) keeps it`, async (t) => {
    await keepsItsPort(await scene(t, '', probing(by)));
  });
}

test('a program that boots reaches the listeners of the other services of its instance', async (t) => {
  const stage = await scene(t, '', probing("Number(process.env.OTHER), '127.0.0.1'"));
  const other = await freePort();
  stage.space.write(
    'api.cjs',
    `require('node:http').createServer((q, r) => r.end('api')).listen(${other}, '127.0.0.1');`,
  );
  const config = stage.space.write(
    'motya.yaml',
    `name: app
probation: 0
services:
  api: { script: api.cjs }
  web: { script: server.cjs, env: { PORT: "${stage.port}", OTHER: "${other}" } }
`,
  );
  const first = stage.space.motya(['start', '--config', config]);
  await first.waitFor('serving');
  assert.equal((await stage.upgrade()).code, 0);
  const keys = (await stage.status()).listeners.map(({ key }) => key);
  // It has found the other service, and so has taken another port than its own.
  assert.equal(keys.includes(`tcp://127.0.0.1:${stage.port}`), false, keys.join());
});

/** A proxy whose backend is a server of the same process. */
const PROXY = `'use strict';
const http = require('node:http');
const backend = Number(process.env.BACKEND);
http.createServer((_, response) => response.end('backend ' + process.env.MOTYA_GENERATION)).listen(backend, '127.0.0.1');
http.createServer((incoming, response) => {
  http.get({ port: backend, host: '127.0.0.1', agent: false }, (answer) => {
    response.setHeader('connection', 'keep-alive');
    answer.pipe(response);
  }).on('error', (error) => { response.statusCode = 502; response.end(error.code); });
}).listen(Number(process.env.PORT), '127.0.0.1');
`;

test('a proxy reaches its backend in the same process on probation, and while it drains', async (t) => {
  const stage = await scene(t, '', PROXY);
  const backend = String(await freePort());
  const env = { BACKEND: backend };
  // The connection stays with the old version.
  const first = await stage.first(['--probation', '10m', '--connections', 'drain'], env);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const ask = async (): Promise<string> => {
    const sent = request({ port: stage.port, host: '127.0.0.1', agent });
    sent.end();
    const [response] = (await once(sent, 'response')) as [AsyncIterable<Buffer>];
    let body = '';
    for await (const piece of response) body += String(piece);
    return body;
  };
  assert.equal(await ask(), 'backend 1');
  assert.equal((await stage.upgrade('--detach')).code, 0);
  // The same connection, to the old version.
  assert.equal(await ask(), 'backend 1');
  assert.equal((await get(stage.port)).body, 'backend 2');
  assert.equal((await stage.upgrade('--detach')).code, 0);
  await first.waitFor((line) => line.event === 'phase' && line.to === 'draining' && line.generation === 1);
  assert.equal(await ask(), 'backend 1');
  await first.waitForExit();
  assert.equal(await ask(), 'backend 3');
});
