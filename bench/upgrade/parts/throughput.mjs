import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { cpuTimeOf, freePort } from '../../../dist-test/e2e/harness/index.js';
import { digits, max, median, min, sum, verdict } from '../lib/numbers.mjs';
import { app, ROOT } from '../lib/paths.mjs';
import { table } from '../lib/report.mjs';
import { run, startAlone, withSpace } from '../lib/space.mjs';
import { MotyaSubject } from '../subjects/motya.mjs';

const BAR = 0.97;
const CONNECTIONS = 32;

/** Requests a second of the program under Motya beside the same program alone. */
export async function throughput({ rounds = 5, quick, say }) {
  const [count, seconds] = quick ? [1, 1] : [rounds, 4];
  const generator = hasCommand('wrk') ? wrk : driver;
  const modes = [
    { name: 'keep-alive', isFresh: false, pairs: [] },
    { name: 'a connection for each request', isFresh: true, pairs: [] },
  ];
  for (let round = 0; round < count; round++) {
    for (const { name, isFresh, pairs } of modes) {
      const pair = await compare(generator, seconds, isFresh);
      pairs.push(pair);
      say(`throughput, round ${round + 1}, ${name}: ${digits(pair.motya)} of ${digits(pair.bare)}/s`);
    }
  }
  const rows = modes.map(({ name, pairs }) => {
    const of = (key) => pairs.map((pair) => pair[key]);
    const ratios = pairs.map(({ bare, motya }) => motya / bare);
    return [
      name,
      digits(median(of('bare'))),
      digits(median(of('motya'))),
      [min(ratios), median(ratios), max(ratios)].map((ratio) => ratio.toFixed(3)).join(' / '),
      verdict(median(ratios) >= BAR, `≥ ${BAR}`),
      `${digits(median(of('bareCpu')))} / ${digits(median(of('motyaCpu')))}`,
    ];
  });
  const head = [
    'connections',
    'bare node, requests/s',
    'Motya, requests/s',
    'ratio (min / median / max)',
    'median',
    CPU_HEAD,
  ];
  return `## Throughput

${table(head, rows)}

One worker. ${CONNECTIONS} connections, load by ${generator === wrk ? 'wrk' : 'our own driver'}; server and load pinned to a core each. Rounds: ${count}, each with
fresh processes, both warmed up, then measured in the order bare, Motya, Motya, bare for ${seconds} s each. The CPU time is that of the
server's main thread; other work on the machine changes it less than it changes the rates.`;
}

const CPU_HEAD = 'CPU µs a request, bare / Motya';

async function compare(generator, seconds, isFresh) {
  return withSpace(async (space) => {
    const script = app('server.cjs');
    const launcher = ['taskset', ...pinned(SERVER_CORE), process.execPath];
    const start = async (name) => {
      const port = await freePort();
      const env = { PORT: String(port) };
      const child =
        name === 'bare'
          ? startAlone(space, [...launcher, script], { env })
          : (await new MotyaSubject(space, { script, env, launcher }).started()).process;
      const { pid } = JSON.parse(await child.waitForStdout(/listening/));
      await generator(space, port, Math.max(1, seconds / 2), isFresh);
      return { port, pid, rates: [], cpu: [] };
    };
    const servers = { bare: await start('bare'), motya: await start('motya') };
    for (const name of ['bare', 'motya', 'motya', 'bare']) {
      const { port, pid, rates, cpu } = servers[name];
      const before = cpuTimeOf(pid);
      const rate = await generator(space, port, seconds, isFresh);
      rates.push(rate);
      cpu.push(((cpuTimeOf(pid) - before) * 1_000) / (rate * seconds));
    }
    const { bare, motya } = servers;
    const mean = (values) => sum(values) / values.length;
    return { bare: mean(bare.rates), motya: mean(motya.rates), bareCpu: mean(bare.cpu), motyaCpu: mean(motya.cpu) };
  });
}

const SERVER_CORE = 0;
const LOAD_CORE = availableParallelism() - 1;
const pinned = (core) => ['-c', String(core)];

async function wrk(space, port, seconds, isFresh) {
  const header = isFresh ? ['-H', 'Connection: close'] : [];
  const args = ['wrk', '-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, ...header, `http://127.0.0.1:${port}/`];
  const text = await run(space, 'taskset', [...pinned(LOAD_CORE), ...args]);
  const errors = /Socket errors:.*|Non-2xx.*/.exec(text);
  if (errors !== null) throw new Error(`wrk: ${errors[0]}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1]);
}

/** Slower than wrk, so it measures itself as well; the ratio is still that of the servers. */
async function driver(space, port, seconds, isFresh) {
  const cli = join(ROOT, 'dist-test', 'e2e', 'load', 'cli.js');
  const kind = isFresh ? '--fresh' : '--keep-alive';
  const args = [
    cli,
    '--port',
    String(port),
    kind,
    String(CONNECTIONS),
    '--think-ms',
    '0',
    '--seconds',
    String(seconds),
  ];
  const { answers, duration } = JSON.parse(
    await run(space, 'taskset', [...pinned(LOAD_CORE), process.execPath, ...args]),
  );
  return (answers * 1_000) / duration;
}

function hasCommand(name) {
  return (process.env.PATH ?? '').split(':').some((directory) => existsSync(join(directory, name)));
}
