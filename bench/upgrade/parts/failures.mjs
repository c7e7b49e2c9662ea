import { freePort, until } from '../../../dist-test/e2e/harness/index.js';
import { startLoadProcess } from '../../../dist-test/e2e/load/index.js';
import { digits, max, median, sum, verdict } from '../lib/numbers.mjs';
import { app } from '../lib/paths.mjs';
import { table } from '../lib/report.mjs';
import { startAlone, withSpace } from '../lib/space.mjs';
import { MotyaSubject } from '../subjects/motya.mjs';
import { installPm2, PM2_VERSION, Pm2Subject } from '../subjects/pm2.mjs';
import { RollingSubject } from '../subjects/rolling.mjs';

/** Keep-alive clients think for 0 to 200 ms, so that many are idle whenever the server changes hands. */
const CLIENTS = { keepAlive: 60, fresh: 30, upload: 20, thinkMs: 100, uploadBytes: 2_048, uploadMs: 40 };
/** Answers before the first upgrade: the driver and the server are warm, and every client has its connection. */
const WARM_ANSWERS = 2_000;
/** Answers of a run without upgrades: as many as a run with five takes. */
const CONTROL_ANSWERS = 8_000;

class Bare {
  constructor(space, { script, env }) {
    this.process = startAlone(space, [process.execPath, script], { env });
  }

  async started() {
    await this.process.waitForStdout(/listening/);
    return this;
  }

  upgrade = null;
}

const subjects = (workerCounts) => [
  ...workerCounts.flatMap((workers) => [
    { name: `Motya, \`motya upgrade\`, workers: ${workers}`, Subject: MotyaSubject, workers, isOurs: true },
    { name: `pm2 ${PM2_VERSION}, \`pm2 reload\`, workers: ${workers}`, Subject: Pm2Subject, workers },
    { name: `node:cluster, rolling restart, workers: ${workers}`, Subject: RollingSubject, workers },
  ]),
  { name: 'control: bare node, no upgrade', Subject: Bare, workers: 1 },
];

/** The same program under load while it is replaced again and again. */
export async function failures({ rounds = 3, quick, say }) {
  installPm2();
  const [workerCounts, upgrades] = quick ? [[1], 2] : [[1, 2], 5];
  const measured = subjects(workerCounts).map((subject) => ({ ...subject, runs: [] }));
  for (let round = 0; round < (quick ? 1 : rounds); round++) {
    for (const { name, Subject, workers, runs } of measured) {
      const one = await measure(Subject, workers, upgrades);
      runs.push(one);
      say(`failures, round ${round + 1}, ${name}: ${one.report.failures} of ${one.report.answers}`);
    }
  }
  const rows = measured.map(rowOf);
  const ours = measured.filter(({ isOurs }) => isOurs);
  const failed = sum(ours.flatMap(({ runs }) => runs.map(({ report }) => report.failures)));
  const head = [
    'subject',
    'upgrades',
    'answers',
    'failed',
    'longest stall, ms',
    'p99.9 new connection, ms',
    'upgrade, ms',
  ];
  return `## Failures during upgrades

${table(head, rows)}

Motya: ${verdict(failed === 0, '0 failed')}. Load, from a process of its own: ${CLIENTS.keepAlive} keep-alive clients (GET, 0 to 200 ms between two
requests), ${CLIENTS.upload} keep-alive clients that POST ${CLIENTS.uploadBytes} bytes bit by bit, ${CLIENTS.fresh} clients with a new connection for each request; none
ever repeats a request. Failed: refused, reset, truncated, wrong or late (10 s) answers, and what kinds they were. Longest stall:
the longest time without any answer, worst of the rounds; p99.9: connect to end of the answer, median of the rounds;
upgrade: from the command until the old processes have gone (median). The control shows what load and machine alone do.
Rounds: ${quick ? 1 : rounds}, in turn; ${upgrades} upgrades in each, each begun when the one before is over.`;
}

async function measure(Subject, workers, upgrades) {
  return withSpace(async (space) => {
    const port = await freePort();
    const subject = await new Subject(space, {
      script: app('server.cjs'),
      env: { PORT: String(port) },
      workers,
    }).started();
    try {
      const load = startLoadProcess({ port, ...CLIENTS }, space.env);
      try {
        await reach(load, WARM_ANSWERS);
        await load.mark();
        const durations = [];
        if (subject.upgrade === null) await reach(load, CONTROL_ANSWERS);
        else for (let count = 0; count < upgrades; count++) durations.push((await subject.upgrade()).goneMs);
        return { report: await load.stop(), durations };
      } catch (error) {
        await load.stop().catch(() => {});
        throw error;
      }
    } finally {
      await subject.stop?.();
    }
  });
}

/** Waits until so many requests have been answered. */
async function reach(load, answers) {
  await until(async () => (await load.report()).answers >= answers, { what: `${answers} answers`, deadline: 60_000 });
}

function rowOf({ name, runs }) {
  const reports = runs.map(({ report }) => report);
  const durations = runs.flatMap((run) => run.durations);
  const kinds = reports.flatMap(({ failuresByKind }) => Object.entries(failuresByKind));
  const byKind = [...new Set(kinds.map(([kind]) => kind))]
    .map((kind) => `${sum(kinds.filter(([other]) => other === kind).map(([, count]) => count))} ${kind}`)
    .join(', ');
  const failed = sum(reports.map((report) => report.failures));
  return [
    name,
    durations.length,
    sum(reports.map((report) => report.answers)),
    failed === 0 ? '0' : `**${failed}** (${byKind})`,
    digits(max(reports.map((report) => report.longestStall))),
    digits(median(reports.map((report) => report.newConnection.p999))),
    durations.length === 0 ? '–' : digits(median(durations)),
  ];
}
