import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { freePorts, until } from '../harness/index.js';
import { ask, scene } from '../scene.js';

/** Answers on the ports of LISTEN with its generation; /busy keeps the loop, and with it the address, beyond the second upgrade. */
const PROGRAM = `'use strict';
const { readFileSync, writeFileSync } = require('node:fs');
const { LISTEN, BUSY, MOTYA_GENERATION } = process.env;
for (const port of JSON.parse(readFileSync(LISTEN, 'utf8'))) {
  require('node:http').createServer((request, response) => {
    if (request.url === '/busy') {
      writeFileSync(BUSY, '');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 6_000);
    }
    response.end(MOTYA_GENERATION);
  }).listen(port, '127.0.0.1');
}
`;

test('a listener that one version leaves out and the next one has again, while the old generation still has it', async (t) => {
  const stage = await scene(t, '', PROGRAM);
  const [kept, going] = (await freePorts(2)) as [number, number];
  const listen = (ports: readonly number[]) => stage.space.write('listen.json', JSON.stringify(ports));
  const busy = stage.space.path('busy');
  await stage.first(['--probation', '0'], { LISTEN: listen([kept, going]), BUSY: busy });
  listen([kept]);
  const answer = ask({ host: '127.0.0.1', port: kept, path: '/busy' });
  await until(() => existsSync(busy), { what: 'a busy program' });
  // In the queue of the listener that goes.
  const waiting = connect(going, '127.0.0.1');
  await once(waiting, 'connect');
  const removed = await stage.upgrade();
  assert.equal(removed.code, 0, removed.stderr);
  listen([kept, going]);
  const added = await stage.upgrade();
  assert.equal(added.code, 0, added.stderr);
  assert.equal((await ask({ host: '127.0.0.1', port: going })).body, '3');
  waiting.destroy();
  assert.equal((await answer).body, '1');
});
