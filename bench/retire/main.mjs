// `npm run bench:retire`: what clients see when a listener ends: left out by an upgrade, at the last stop, and, beside that, when
// a plain node is told to end. Prints Markdown and keeps it in docs/internals/benchmarks.md.
import { parseArgs } from 'node:util';
import { until } from '../../dist-test/e2e/harness/index.js';
import { stageIn } from '../../dist-test/e2e/retire/stage.js';
import { verdict } from '../upgrade/lib/numbers.mjs';
import { circumstances, table, writePart } from '../upgrade/lib/report.mjs';
import { withSpace } from '../upgrade/lib/space.mjs';

const CLIENTS = 8;
/** Answers to the clients of each listener before it ends. */
const ANSWERS = 200;

const { values } = parseArgs({ options: { trials: { type: 'string', default: '60' } } });
const trials = Number(values.trials);

const terminate = async (_, { pid }) => void process.kill(pid, 'SIGTERM');
const WAYS = {
  'left out by an upgrade': {
    start: (stage) => stage.start(),
    end: async (stage) => {
      stage.listen([stage.kept]);
      const { code, stderr } = await stage.space.run(['upgrade', '--name', 'app', '--detach']);
      if (code !== 0) throw new Error(stderr);
    },
  },
  'the last stop': {
    start: (stage) => stage.start(),
    end: terminate,
  },
  'the last stop, without CAP_NET_ADMIN': {
    start: (stage) => stage.start([], process.getuid() === 0 ? ['setpriv', '--bounding-set=-net_admin,-net_raw'] : []),
    end: terminate,
  },
  'plain node, SIGTERM': {
    start: (stage) => stage.startPlain(),
    end: terminate,
  },
};

const rows = [];
let isMet = true;
for (const [way, { start, end }] of Object.entries(WAYS)) {
  const tallies = new Map();
  for (let trial = 1; trial <= trials; trial++) {
    await withSpace(async (space) => {
      const stage = await stageIn(space);
      const child = await start(stage);
      const hammers = stage.hammers(CLIENTS);
      const warm = () => [...hammers.values()].every(({ seen }) => seen.answers >= ANSWERS || seen.failures.length > 0);
      await until(warm, { what: 'answers' });
      await end(stage, child);
      for (const [kind, { over, seen }] of hammers) {
        await over;
        const tally = tallies.get(kind) ?? { answers: 0, refused: 0, failures: [] };
        tally.answers += seen.answers;
        tally.refused += Object.values(seen.refused).reduce((sum, count) => sum + count, 0);
        tally.failures.push(...seen.failures);
        tallies.set(kind, tally);
      }
    });
    process.stderr.write(`${way}: ${trial} of ${trials}\n`);
  }
  for (const [kind, { answers, refused, failures }] of tallies) {
    if (!way.startsWith('plain')) isMet &&= failures.length === 0 && refused === trials * CLIENTS;
    rows.push([way, kind, trials, answers, refused, failures.length]);
  }
}

const markdown = `## The end of a listener

${table(['', 'kind', 'trials', 'answers', 'clients refused', 'clients reset'], rows)}

${verdict(isMet, 'no client reset by Motya, every one answered or refused')}. ${CLIENTS} clients on each listener, each with a new
connection for each request and no pause between two, until it is refused.

${circumstances('npm run bench:retire')}`;
console.log(markdown);
if (trials >= 60) writePart('retire', markdown);
