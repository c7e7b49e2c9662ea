import { median, spread, verdict } from '../lib/numbers.mjs';
import { app } from '../lib/paths.mjs';
import { table } from '../lib/report.mjs';
import { withSpace } from '../lib/space.mjs';
import { MotyaSubject } from '../subjects/motya.mjs';

const COUNTS = [1, 100, 1_000];
/** ms from COMMIT to LIVE. */
const BARS = new Map([
  [1, 5],
  [1_000, 250],
]);

/** How long a hand-over takes with more and more listeners. */
export async function handover({ rounds = 10, quick, say }) {
  const measured = COUNTS.map((count) => ({ count, runs: [] }));
  const upgrades = quick ? 2 : rounds;
  for (const { count, runs } of measured) {
    runs.push(...(await measure(count, upgrades)));
    say(`hand-over, ${count} listeners: ${spread(runs.map(({ gapMs }) => gapMs))} ms`);
  }
  const rows = measured.map(({ count, runs }) => {
    const gaps = runs.map(({ gapMs }) => gapMs);
    const bar = BARS.get(count);
    return [
      String(count),
      spread(gaps),
      bar === undefined ? '–' : verdict(median(gaps) <= bar, `≤ ${bar} ms`),
      spread(runs.map(({ commandMs }) => commandMs)),
    ];
  });
  return `## Hand-over

${table(['listeners', 'COMMIT → LIVE, ms (min / median / max)', 'median', '`motya upgrade`, ms (min / median / max)'], rows)}

No process accepts from shortly before COMMIT (the incumbent's workers stop first, 1 to 3 ms) to LIVE. New connections wait in the
backlog meanwhile. The second time is that of the whole command: its own start, the start of the successor and its program, and
the hand-over. ${upgrades} upgrades each.`;
}

async function measure(count, upgrades) {
  return withSpace(async (space) => {
    const subject = await new MotyaSubject(space, {
      script: app('many.cjs'),
      env: { LISTENERS: String(count) },
    }).started();
    const runs = [];
    for (let index = 0; index < upgrades; index++) runs.push(await subject.upgrade());
    const { generation, listeners } = await subject.status();
    const inherited = listeners.filter((listener) => listener.inherited).length;
    if (generation !== upgrades + 1 || inherited !== count) {
      throw new Error(`generation ${generation} has ${inherited} of ${count} listeners`);
    }
    return runs;
  });
}
