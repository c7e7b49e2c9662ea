// `npm run bench:rollback`: what clients see when a successor is killed on probation. Prints Markdown and keeps it in docs/internals/benchmarks.md.
import { parseArgs } from 'node:util';
import { childrenOf, freePort, until } from '../../dist-test/e2e/harness/index.js';
import { startLoadProcess } from '../../dist-test/e2e/load/index.js';
import { digits, max, median, sum, verdict } from '../upgrade/lib/numbers.mjs';
import { app } from '../upgrade/lib/paths.mjs';
import { circumstances, table, writePart } from '../upgrade/lib/report.mjs';
import { withSpace } from '../upgrade/lib/space.mjs';
import { MotyaSubject } from '../upgrade/subjects/motya.mjs';

const CLIENTS = 16;
/** ms that a stall may be longer than in the same time without a kill. */
const STALL_BAR = 50;
/** Answers in each measured piece: about a second on an idle machine. */
const ANSWERS = 2000;

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '10' } } });
const rounds = Number(values.rounds);

/** Who is killed: the supervisor alone, whose workers finish what they have; or all of the generation. */
const VICTIMS = { supervisor: (pid) => [pid], 'whole generation': (pid) => [pid, ...childrenOf(pid)] };
const rows = [];
let isMet = true;
await withSpace(async (space) => {
  const port = await freePort();
  const env = { PORT: String(port), MOTYA_PROBATION: '10m' };
  const subject = new MotyaSubject(space, { script: app('server.cjs'), env });
  await subject.started();
  for (const [victim, pidsOf] of Object.entries(VICTIMS)) {
    const measured = [];
    for (let round = 1; round <= rounds; round++) measured.push(await kill(space, subject, port, pidsOf, round));
    const of = (key) => measured.map((one) => one[key]);
    const more = measured.map(({ stall, steady }) => stall - steady);
    isMet &&= sum(of('refused')) === 0 && max(of('failed')) <= CLIENTS && max(more) <= STALL_BAR;
    rows.push([
      victim,
      rounds,
      sum(of('answers')),
      sum(of('refused')),
      `${max(of('failed'))} (${sum(of('failed'))} in all)`,
      `${digits(median(of('stall')))} / ${digits(max(of('stall')))}`,
      `${digits(median(of('steady')))} / ${digits(max(of('steady')))}`,
    ]);
  }
});

const markdown = `## A rollback

${table(['kill -9 of', 'kills', 'answers', 'refused', 'failed, most in a kill', 'longest stall, ms', 'without a kill, ms'], rows)}

${verdict(isMet, `0 refused, at most 1 failed per client, a stall at most ${STALL_BAR} ms longer than without a kill`)}. ${CLIENTS}
clients, each with a new connection for each request and no pause between two; the successor, on probation, is killed amid ${ANSWERS}
answers. The longest stall (median / worst) is the longest time without any answer; beside it that of the ${ANSWERS}
answers before the kill. What fails was inside a killed process.

${circumstances('npm run bench:rollback')}`;
console.log(markdown);
if (rounds >= 10) writePart('rollback', markdown);

async function kill(space, subject, port, pidsOf, round) {
  const incumbent = subject.supervisor;
  const upgraded = await space.run(['upgrade', '--name', 'bench', '--detach'], subject.options);
  if (upgraded.code !== 0) throw new Error(upgraded.stderr);
  const successor = subject.supervisor;
  const load = startLoadProcess({ port, fresh: CLIENTS, thinkMs: 0, anonymous: true });
  try {
    await more(load, ANSWERS / 10);
    await load.mark();
    await more(load, ANSWERS);
    const before = await load.mark();
    const victims = pidsOf(successor);
    await more(load, ANSWERS / 2);
    for (const pid of victims) process.kill(pid, 'SIGKILL');
    await until(() => subject.supervisor === incumbent, { what: 'the rollback' });
    await more(load, ANSWERS / 2);
    const after = await load.mark();
    const failed = after.failures - before.failures;
    const refused = (after.failuresByKind.refused ?? 0) - (before.failuresByKind.refused ?? 0);
    process.stderr.write(`${round}: ${failed} failed, stall ${digits(after.longestStall)} ms\n`);
    return { answers: after.answers, failed, refused, stall: after.longestStall, steady: before.longestStall };
  } finally {
    await load.stop();
  }
}

async function more(load, answers) {
  const from = (await load.report()).answers;
  await until(async () => (await load.report()).answers >= from + answers, { what: `${answers} answers` });
}
