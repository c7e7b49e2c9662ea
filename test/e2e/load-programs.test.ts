import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { makeCertificate, until } from './harness/index.js';
import type { LoadOptions, LoadReport } from './load/index.js';
import { type Scene, scene } from './scene.js';
import * as chain from './traffic.js';

const UPGRADES = 2;
const HTTP: LoadOptions = { keepAlive: 8, fresh: 3, slow: 2, upload: 2 };

/** Each kind of program, unchanged, and its clients. */
const PROGRAMS: Readonly<Record<string, LoadOptions>> = {
  'http.cjs': HTTP,
  'http.mjs': HTTP,
  'https.cjs': { ...HTTP, tls: true },
  'express.cjs': HTTP,
  'fastify.mjs': HTTP,
  'koa.mjs': HTTP,
  'http2-h2c.mjs': { http2: 6 },
  'http2-tls.mjs': { http2: 4, keepAlive: 4, fresh: 2, tls: true },
  'net-echo.cjs': { tcp: 8 },
  'ws.cjs': { webSocket: 6, keepAlive: 4, fresh: 2 },
  // No more than the kernel's queue of a socket holds while a busy machine does not let the program read.
  'udp-echo.cjs': { udp: 1 },
};

/** Connections that only the client ends: the program is not asked to. */
const isLasting = (options: LoadOptions) => options.tcp !== undefined || options.webSocket !== undefined;

async function ready(stage: Scene, options: LoadOptions) {
  const certificate = options.tls ? await makeCertificate(stage.space.dir) : {};
  return stage.first(chain.NEVER_FORCED, certificate);
}

describe('upgrades in a row under load', () => {
  for (const [name, clients] of Object.entries(PROGRAMS)) {
    it(name, async (test) => {
      const stage = await scene(test, name);
      const first = await ready(stage, clients);
      const options: LoadOptions = { ...clients, port: stage.port, thinkMs: 10, slowMs: 300, uploadMs: 200 };
      const { slow: _, upload: __, ...brief } = options;
      const load = await chain.traffic(options);
      let report: LoadReport;
      const probes: LoadReport[] = [];
      try {
        // Clients that keep their connections for good do not notice how new ones fare.
        const probing = isLasting(clients) ? chain.probing(brief) : undefined;
        for (let generation = 2; generation <= UPGRADES + 1; generation++) {
          const { generation: now } = await chain.upgrade(stage.space);
          assert.equal(now, generation);
          // What begins now is the successor's, whatever else goes on.
          const after = await chain.probe(brief);
          chain.assertFlawless(after, 'after the hand-over');
          assert.deepEqual(chain.generationsIn(after), [generation]);
          await answeredBy(load.report, generation, clients);
        }
        probes.push(...((await probing?.stop()) ?? []));
        // Busy clients do not hold an old generation up: it ends while they go on.
        if (!isLasting(clients)) await chain.predecessorsEnd(first, UPGRADES + 1);
      } finally {
        report = await load.stop();
      }
      await chain.predecessorsEnd(first, UPGRADES + 1);
      chain.assertFlawless(report);
      for (const one of probes) chain.assertFlawless(one, 'new connections');
      const all = Array.from({ length: UPGRADES + 1 }, (_, index) => index + 1);
      assert.deepEqual(chain.generationsIn(report, ...probes), all);
      chain.assertNewOnesAreTheSuccessors(first, load, report);
      // Over TLS, the GOAWAY may refuse what is on its way; in both cases Node's client refuses by itself what it had not sent yet.
      test.diagnostic(`${report.answers} answers, ${report.http2Retried} HTTP/2 requests refused and repeated`);
    });
  }
});

/** Waits until clients that come anew by themselves have been answered by `generation`. */
async function answeredBy(reports: () => Promise<LoadReport>, generation: number, clients: LoadOptions): Promise<void> {
  if (isLasting(clients)) return;
  const seen = async () => {
    const report = await reports();
    return report.failures > 0 || chain.generationsIn(report).includes(generation);
  };
  await until(seen, { what: `answers of generation ${generation}` });
}
