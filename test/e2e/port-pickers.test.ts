import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './harness/index.js';
import { failureOf, get, scene } from './scene.js';

/** Looks for a free port as get-port, portfinder and detect-port do: on each address in turn, listen and close. */
const PICKS = `'use strict';
const http = require('node:http');
const net = require('node:net');
const isFree = (port, host) => new Promise((resolve) => {
  const server = net.createServer();
  server.once('error', () => resolve(false));
  server.listen({ port, host }, () => server.close(() => resolve(true)));
});
const pick = async (port, hosts) => {
  for (const host of hosts) if (!(await isFree(port, host))) return pick(port + 1, hosts);
  return port;
};
const serve = (port, host) => {
  const server = http.createServer((_, response) => {
    response.setHeader('connection', 'close');
    response.end(process.env.MOTYA_GENERATION);
  });
  server.listen({ port, host });
};
`;

const program = (hosts: readonly (string | null)[], host: string | null): string => `${PICKS}
const [hosts, host] = ${JSON.stringify([hosts, host])};
pick(Number(process.env.PORT), hosts.map((one) => one ?? undefined)).then((port) => serve(port, host ?? undefined));
`;

const cases = [
  { what: 'all addresses, then each', hosts: [null, '0.0.0.0', '127.0.0.1'], host: null },
  { what: 'each, then all addresses', hosts: ['127.0.0.1', '::1', '0.0.0.0', '::'], host: null },
  { what: 'all addresses, and serves on one', hosts: [null, '0.0.0.0'], host: '127.0.0.1' },
] as const;

for (const { what, hosts, host } of cases) {
  for (const workers of [1, 2]) {
    test(`a port that is looked at on ${what}: the same in each generation, ${workers} worker(s)`, async (t) => {
      const stage = await scene(t, '', program(hosts, host));
      await stage.first(['--workers', String(workers), '--probation', '0', '--drain-timeout', '1s']);
      assert.equal((await get(stage.port)).body, '1');
      for (const generation of ['2', '3']) {
        const { code, stdout, stderr } = await stage.upgrade('--json');
        assert.equal(code, 0, stderr + stdout);
        assert.deepEqual((JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as { removed: unknown }).removed, []);
        assert.equal((await get(stage.port)).body, generation);
        assert.equal((await stage.status()).listeners.filter(({ key }) => key.startsWith('tcp:')).length, 1);
      }
    });
  }
}

test('a program that closes its server and listens on one of its addresses: the address is free', async (t) => {
  const source = `${PICKS}
const port = Number(process.env.PORT);
const server = net.createServer();
server.listen(port, () => server.close(() => serve(port, '127.0.0.1')));
`;
  const stage = await scene(t, '', source);
  await stage.first(['--probation', '0']);
  assert.equal((await get(stage.port)).body, '1');
  assert.equal((await stage.upgrade()).code, 0);
  assert.equal((await get(stage.port)).body, '2');
});

test('a new version that listens beside what its service has is rejected, and the successor ends', async (t) => {
  const stage = await scene(t, '', program([], null));
  await stage.first(['--probation', '0']);
  stage.space.write('server.cjs', program([], '127.0.0.1'));
  const successor = stage.start(['--upgrade', '--probation', '0']);
  await successor.waitFor('waiting');
  const { code, stdout } = await stage.upgrade('--json');
  assert.equal(code, 3, stdout);
  assert.notEqual((await successor.waitForExit()).code, 0);
  assert.equal(failureOf(successor).code, 'ERR_MOTYA_PROGRAM');
  assert.equal((await get(stage.port)).body, '1');
  await until(async () => (await stage.status()).phase === 'serving', { what: 'the first one to serve' });
});
