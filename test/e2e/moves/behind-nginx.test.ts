import assert from 'node:assert/strict';
import { it } from 'node:test';
import { freePort, lacks, until } from '../harness/index.js';
import { startNginx } from '../nginx.js';
import { isRefused } from '../scene.js';
import { Fleet } from './clients/index.js';
import { allAt, moveStage } from './stage.js';

const CLIENTS = 8;
const DEPLOYS = 3;

it('nginx keeps its connections to the program over deploys', { skip: lacks('nginx') }, async (test) => {
  const stage = await moveStage(test);
  const port = await freePort();
  // One connection for each client at most: a second one would be in place of one that has ended.
  const nginx = startNginx(
    stage.scene.space,
    `proxy_next_upstream off;
  upstream program { server 127.0.0.1:${stage.port}; keepalive 32; keepalive_requests 1000000; keepalive_timeout 1h; }
  server { listen 127.0.0.1:${port}; keepalive_requests 1000000; keepalive_timeout 1h;
    location / { proxy_pass http://program; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
    { workers: 1 },
  );
  try {
    await until(async () => !(await isRefused(port)), { what: 'nginx' });
    const fleet = new Fleet({ port, busy: CLIENTS });
    try {
      await allAt(fleet, 1);
      for (let deploy = 0; deploy < DEPLOYS; deploy++) {
        await allAt(fleet, await stage.deploy());
        await stage.formerOnesEnd();
      }
      assert.ok(fleet.upstreams.size <= CLIENTS, `${fleet.upstreams.size} connections of nginx for ${CLIENTS} clients`);
    } finally {
      stage.assertUnnoticed(await fleet.stop());
    }
  } finally {
    // Its title is written over its environment, by which a workspace finds what is left of a test.
    nginx.kill('SIGTERM');
    await nginx.waitForExit();
  }
});
