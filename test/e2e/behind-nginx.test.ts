import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { freePort, lacks, ROOT } from './harness/index.js';
import { startNginx } from './nginx.js';
import { scene } from './scene.js';
import * as chain from './traffic.js';

/** The configuration of docs/guides/deploying.md; nginx hides no error from the client. */
function configuration(listen: number, upstream: number): string {
  const guide = readFileSync(`${ROOT}docs/guides/deploying.md`, 'utf8');
  const [, block = ''] = /^```nginx\n(.*?)^```/ms.exec(guide) ?? [];
  const ports = block
    .replace('listen 80;', `listen 127.0.0.1:${listen};`)
    .replace('127.0.0.1:3000', `127.0.0.1:${upstream}`);
  return `proxy_next_upstream off; ${ports}`;
}

it('behind nginx, with connections that are kept to the program: upgrades under load lose nothing', {
  skip: lacks('nginx'),
}, async (test) => {
  const stage = await scene(test);
  const first = await stage.first(chain.NEVER_FORCED);
  const port = await freePort();
  const nginx = startNginx(stage.space, configuration(port, stage.port));
  try {
    const load = await chain.traffic({ port, keepAlive: 8, fresh: 4, upload: 1, uploadMs: 50, thinkMs: 5 });
    let report: Awaited<ReturnType<typeof load.stop>>;
    try {
      for (let generation = 2; generation <= 4; generation++) await chain.upgrade(stage.space);
      await chain.predecessorsEnd(first, 4);
    } finally {
      report = await load.stop();
    }
    chain.assertFlawless(report);
    assert.ok(report.answers > 500, `${report.answers} answers`);
  } finally {
    // Its title is written over its environment, by which a workspace finds what is left of a test.
    nginx.kill('SIGTERM');
    await nginx.waitForExit();
  }
});
