import { freePort } from '../../../dist-test/e2e/harness/index.js';
import { get } from '../lib/get.mjs';
import { digits, median, spread } from '../lib/numbers.mjs';
import { app } from '../lib/paths.mjs';
import { table } from '../lib/report.mjs';
import { withSpace } from '../lib/space.mjs';
import { MotyaSubject } from '../subjects/motya.mjs';

/** From the start of a process to its first answer. */
export async function boot({ rounds = 15, quick, say }) {
  const times = { bare: [], motya: [], booted: [], upgrade: [] };
  for (let round = 0; round < (quick ? 3 : rounds); round++) {
    times.bare.push(await bare());
    const under = await underMotya();
    for (const [name, ms] of Object.entries(under)) times[name].push(ms);
    say(`boot, round ${round + 1}: bare ${digits(times.bare.at(-1))} ms, Motya ${digits(under.motya)} ms`);
  }
  const base = median(times.bare);
  const row = (name, values) => [name, spread(values), values === times.bare ? '–' : digits(median(values) - base)];
  const rows = [
    row('`node server.cjs` → first answer', times.bare),
    row('`motya start server.cjs` → first answer', times.motya),
    row('`motya start --upgrade` → booted, waits', times.booted),
    row('`motya upgrade` → first answer of the successor', times.upgrade),
  ];
  return `## Boot

${table(['from spawn to', 'ms (min / median / max)', 'more than bare node, ms'], rows)}

Rounds: ${times.bare.length}, in turn. While a successor boots the incumbent serves: these times are no pause. \`motya upgrade\` starts itself,
then the successor, then the successor's worker: three times Node.`;
}

async function bare() {
  return withSpace(async (space) => {
    const port = await freePort();
    const began = performance.now();
    const child = space.node([app('server.cjs')], { env: { PORT: String(port) } });
    return firstAnswer(child, port, began);
  });
}

async function underMotya() {
  return withSpace(async (space) => {
    const port = await freePort();
    const options = { script: app('server.cjs'), env: { PORT: String(port) } };
    const began = performance.now();
    const subject = new MotyaSubject(space, options);
    const motya = await firstAnswer(subject.process, port, began);
    await subject.started();

    const asked = performance.now();
    const waiting = space.motya(['start', app('server.cjs'), '--name', 'bench', '--upgrade'], subject.options);
    await waiting.waitFor('waiting');
    const booted = performance.now() - asked;
    waiting.kill('SIGTERM');
    await waiting.waitForExit();

    const upgraded = performance.now();
    await space.run(['upgrade', '--name', 'bench'], subject.options);
    const { generation } = JSON.parse(await get(port));
    const upgrade = performance.now() - upgraded;
    if (generation !== '2') throw new Error(`generation ${generation} answers after the upgrade`);
    return { motya, booted, upgrade };
  });
}

async function firstAnswer(child, port, began) {
  await child.waitForStdout(/listening/);
  await get(port);
  return performance.now() - began;
}
