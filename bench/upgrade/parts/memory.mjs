import { copyFileSync } from 'node:fs';
import { childrenOf, freePort, pssOf, until } from '../../../dist-test/e2e/harness/index.js';
import { get } from '../lib/get.mjs';
import { digits, median, sum, verdict } from '../lib/numbers.mjs';
import { app } from '../lib/paths.mjs';
import { table } from '../lib/report.mjs';
import { withSpace } from '../lib/space.mjs';
import { MotyaSubject } from '../subjects/motya.mjs';

/** MiB that the supervisor may add. */
const BAR = 45;
const UPGRADES = 10;
/** ms between two looks, and how many of them in a row see the same: what was busy has become quiet. */
const LOOK_MS = 250;
const SAME = 8;

/** Proportional set sizes: pages that several processes share count for each in part. */
export async function memory({ rounds = 3, quick, say }) {
  const measured = { bare: [], idle: [], after: [] };
  const upgrades = quick ? 2 : UPGRADES;
  for (let round = 0; round < (quick ? 1 : rounds); round++) {
    measured.bare.push(await bare());
    const { idle, after } = await underMotya(upgrades);
    measured.idle.push(idle);
    measured.after.push(after);
    say(`memory, round ${round + 1}: supervisor ${digits(idle.supervisor)} MiB, then ${digits(after.supervisor)} MiB`);
  }
  const bareMiB = median(measured.bare);
  const row = (name, samples) => {
    const supervisor = median(samples.map((sample) => sample.supervisor));
    const total = median(samples.map((sample) => sample.supervisor + sample.workers));
    return [name, digits(supervisor), digits(total - supervisor), digits(total), digits(total - bareMiB)];
  };
  const rows = [
    ['bare node', '–', digits(bareMiB), digits(bareMiB), '–'],
    row('Motya, one worker, idle', measured.idle),
    row(`Motya, one worker, after ${upgrades} upgrades`, measured.after),
  ];
  const added = median(measured.after.map(({ supervisor, workers }) => supervisor + workers)) - bareMiB;
  return `## Memory

${table(['PSS in MiB', 'supervisor', 'worker', 'together', 'more than bare node'], rows)}

Motya adds: ${verdict(added <= BAR, `≤ ${BAR} MiB`)}. PSS from /proc/PID/smaps_rollup once it has stopped changing, rounds: ${measured.bare.length} (medians);
the server has answered one request. Both run a copy of the node binary that no other process runs, so that its pages are shared
only between the processes that are counted.`;
}

async function bare() {
  return withSpace(async (space) => {
    const port = await freePort();
    const child = space.start(ownNode(space), [app('server.cjs')], { env: { PORT: String(port) } });
    await child.waitForStdout(/listening/);
    await get(port);
    return settled(() => mib(child.pid));
  });
}

async function underMotya(upgrades) {
  return withSpace(async (space) => {
    const port = await freePort();
    const options = { script: app('server.cjs'), env: { PORT: String(port) }, launcher: [ownNode(space)] };
    const subject = await new MotyaSubject(space, options).started();
    await get(port);
    const sample = async () => {
      const { supervisor } = subject;
      await settled(() => mib(supervisor));
      return { supervisor: mib(supervisor), workers: sum(childrenOf(supervisor).map(mib)) };
    };
    const idle = await sample();
    for (let count = 0; count < upgrades; count++) await subject.upgrade();
    await get(port);
    return { idle, after: await sample() };
  });
}

function ownNode(space) {
  const path = space.path('node');
  copyFileSync(process.execPath, path);
  return path;
}

const mib = (pid) => pssOf(pid) / 1024;

async function settled(read) {
  let last = read();
  let same = 0;
  let lookAt = 0;
  return until(
    () => {
      if (performance.now() < lookAt) return false;
      lookAt = performance.now() + LOOK_MS;
      const now = read();
      same = Math.abs(now - last) < 0.1 ? same + 1 : 0;
      last = now;
      return same >= SAME && now;
    },
    { what: 'a process whose memory does not change' },
  );
}
