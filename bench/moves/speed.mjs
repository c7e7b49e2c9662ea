import { readFileSync } from 'node:fs';
import { CLI, freePort, isAlive, until } from '../../dist-test/e2e/harness/index.js';
import { get } from '../upgrade/lib/get.mjs';
import { digits, max, median, verdict } from '../upgrade/lib/numbers.mjs';
import { table } from '../upgrade/lib/report.mjs';
import { withSpace } from '../upgrade/lib/space.mjs';
import { startClients } from './clients-process.mjs';

/** What one process needs beside its connections. */
const OTHER_FDS = 200;
/** ms */
const BARS = { drained: 1_500, stall: 25 };
const MOST = 10_000;

/** Idle connections: how fast they move, and what that does to the event loops of both workers. */
export async function speed({ script, counts, rounds, say }) {
  const limit = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 0);
  const rows = [];
  const verdicts = [];
  for (const count of counts) {
    if (count + OTHER_FDS > limit) {
      say(`left out: ${count} connections: this user may have ${limit} fds a process`);
      continue;
    }
    const runs = [];
    for (let round = 0; round < rounds; round++) {
      const run = await measure(script, count);
      say(`${count} connections: ${JSON.stringify(run)}`);
      runs.push(run);
    }
    const of = (key) => runs.map((run) => run[key]);
    const perSecond = count === 0 ? '–' : digits(median(runs.map(({ moved, drained }) => moved / (drained / 1000))));
    const row = [of('drained'), of('gone'), of('oldStall'), of('newStall'), of('oldCpu'), of('newCpu')].map((all) =>
      digits(median(all)),
    );
    rows.push([count, Math.min(...of('moved')), Math.max(...of('closes')), perSecond, ...row]);
    if (count === MOST) {
      const drained = median(of('drained'));
      const stall = max([median(of('oldStall')), median(of('newStall'))]);
      verdicts.push(verdict(drained <= BARS.drained, `${MOST} moved in ≤ ${BARS.drained / 1000} s`));
      verdicts.push(verdict(stall <= BARS.stall, `longest stall ≤ ${BARS.stall} ms`));
    }
  }
  const head = [
    'idle connections',
    'moved',
    'closes',
    'moves/s',
    'drain, ms',
    'SETTLED → old generation gone, ms',
    'longest stall of the old worker, ms',
    'of the new worker, ms',
    'CPU time of the old worker, ms',
    'of the new worker, ms',
  ];
  return `${table(head, rows)}

${verdicts.length > 0 ? `${verdicts.join('; ')}. ` : ''}One worker. Medians of ${rounds} rounds. Drain: from its begin to its end, as the log has it. Stall: the longest time in
which the event loop did not turn (\`monitorEventLoopDelay\`, 1 ms) from the begin of the probation on; that of the first row is the machine's.
CPU time: of the same time, of the old worker up to its end.`;
}

async function measure(script, count) {
  return withSpace(async (space) => {
    const port = await freePort();
    const env = { PORT: String(port), EFFORTS: space.path('efforts'), MOTYA_PROBATION: '1s' };
    const command = `ulimit -n $(ulimit -Hn); exec "$0" "$@"`;
    const node = [process.execPath, ...space.nodeArgs];
    const first = space.start('sh', ['-c', command, ...node, CLI, 'start', script, '--name', 'bench'], { env });
    await first.waitFor('serving');
    const clients = count === 0 ? null : startClients({ port, still: count }, space.env);
    try {
      if (clients !== null) await clients.ask('open');
      const old = JSON.parse(await get(port)).pid;
      const upgrading = space.motya(['upgrade', '--name', 'bench'], { env });
      await first.waitFor('probation');
      const young = JSON.parse(await get(port)).pid;
      for (const pid of [old, young]) process.kill(pid, 'SIGUSR2');
      const settled = await first.waitFor('settled');
      await until(() => !isAlive(old) && first.exit !== undefined, { what: 'the end of the old generation', every: 1 });
      const gone = Date.now() - Date.parse(settled.time);
      await upgrading.waitForExit();
      const { ms: drained, moved = 0 } = first.logs.find(({ event }) => event === 'drained');
      const { stall: newStall, cpu: newCpu } = JSON.parse(await get(port, '/effort'));
      const efforts = readFileSync(env.EFFORTS, 'utf8').trim().split('\n').map(JSON.parse);
      const { stall: oldStall, cpu: oldCpu } = efforts.find(({ pid }) => pid === old);
      const { closes = 0, generations = [] } = clients === null ? {} : await clients.ask('ask');
      const elsewhere = generations.filter((generation) => generation !== 2).length;
      if (elsewhere > 0) throw new Error(`${elsewhere} connections were not answered by the new generation`);
      return { moved, closes, drained, gone, oldStall, newStall, oldCpu, newCpu };
    } finally {
      clients?.kill();
    }
  });
}
