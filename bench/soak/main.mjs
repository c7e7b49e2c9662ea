// `npm run soak -- --minutes N [--seed S]`: upgrades and kills at random moments under a mixed load, for as long as you like.
// Ends with 0 only when every promise was kept. Prints Markdown; an hour or more is kept in docs/internals/soak.md.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../upgrade/lib/paths.mjs';
import { circumstances, table } from '../upgrade/lib/report.mjs';
import { withSpace } from '../upgrade/lib/space.mjs';
import { EVENTS, pick } from './events.mjs';
import { Ledger } from './ledger.mjs';
import { randomOf } from './random.mjs';
import { Service } from './service.mjs';

const { values } = parsed();
if (!/^\d*\.?\d+$/.test(values.minutes) || Number(values.minutes) === 0) refuse('--minutes: must be a number above 0');
if (!/^\d+$/.test(values.seed ?? '0')) refuse('--seed: must be a whole number');
const minutes = Number(values.minutes);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32));
const random = randomOf(seed);
/** ms between two events, at most. */
const PAUSE_MS = 4000;
/** An hour is what docs/internals/soak.md tells of. */
const KEPT_MINUTES = 60;

const said = (text) => process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
said(`seed ${seed}, ${minutes} minutes`);

const broken = [];
await withSpace(async (space) => {
  const service = await Service.start(space, random);
  const ledger = new Ledger(service);
  try {
    const before = await service.settled();
    const end = performance.now() + minutes * 60_000;
    while (performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, random() * PAUSE_MS));
      const name = pick(random);
      const outcome = await EVENTS[name].run(service, random).catch((error) => {
        broken.push(`${name}: ${error.stack}`);
        return 'broke a promise';
      });
      const account = await ledger.book(name, outcome);
      said(
        `${name}: ${outcome}${account.failures === 0 ? '' : `; ${account.failures} failed ${JSON.stringify(account.kinds)}`}`,
      );
      if (!account.isKept) broken.push(`${name} (${outcome}): ${JSON.stringify(account)}`);
      if (broken.length > 0) break;
    }
    const after = await service.settled();
    const report = await ledger.close();
    broken.push(...service.growth(before, after), ...report.broken);
    const markdown = told(report, before, after);
    console.log(markdown);
    if (minutes >= KEPT_MINUTES && broken.length === 0)
      writeFileSync(join(ROOT, 'docs', 'internals', 'soak.md'), `${markdown}\n`);
  } finally {
    await ledger.stop();
    if (broken.length > 0) said(service.lastLines());
    await service.stop();
  }
});
for (const one of broken) said(`BROKEN ${one}`);
process.exitCode = broken.length === 0 ? 0 : 1;

function parsed() {
  try {
    return parseArgs({ options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' } } });
  } catch (error) {
    return refuse(error.message.split('\n')[0]);
  }
}

/** With NaN minutes it would try nothing, and find nothing wrong. */
function refuse(text) {
  console.error(text);
  process.exit(2);
}

function told({ rows, answers, refused, failures, kinds, answersByClient }, before, after) {
  const clients = Object.entries(answersByClient).map(([kind, count]) => `${count} ${kind}`);
  return `# Soak

${minutes} minutes of upgrades and kills at random moments under a mixed load, with \`motya start --keeper\`: **${refused} refused**,
${failures} failures of ${answers} requests (${clients.join(', ')}), all of them inside a process that was killed, or WebSocket messages that crossed its goodbye${
    failures === 0
      ? ''
      : ` (${Object.entries(kinds)
          .map(([kind, count]) => `${count} ${kind}`)
          .join(', ')})`
  }. After each event one main process, which the pidfile names, serves on every listener.

${table(['event', 'times', 'outcomes', 'failures: in a killed process, or crossed its goodbye'], rows)}

The keeper had ${before.keeper.fds} fds and ${before.keeper.memory} KiB of its own in the beginning, ${after.keeper.fds} and
${after.keeper.memory} at the end; the main process ${before.main.fds} fds and ${before.main.memory} KiB, then ${after.main.fds} and ${after.main.memory}.

${circumstances(`npm run soak -- --minutes ${minutes} --seed ${seed}`)}`;
}
