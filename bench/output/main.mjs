// `npm run bench:output`: what it costs that programs' lines go through the supervisor. Prints Markdown and keeps it in
// docs/internals/benchmarks.md.
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CLI, childrenOf, freePort, until } from '../../dist-test/e2e/harness/index.js';
import { get } from '../upgrade/lib/get.mjs';
import { digits, median } from '../upgrade/lib/numbers.mjs';
import { circumstances, table, writePart } from '../upgrade/lib/report.mjs';
import { withSpace } from '../upgrade/lib/space.mjs';

const { values } = parseArgs({ options: { rounds: { type: 'string' }, quick: { type: 'boolean', default: false } } });
const ROUNDS = values.quick ? 1 : Number(values.rounds ?? 5);
const LINES = values.quick ? 20_000 : 200_000;
const RATE = 1000;
const writer = fileURLToPath(new URL('./writer.cjs', import.meta.url));

const TAGGED_JSON = ['--log-format', 'json'];
const TAGGED_PRETTY = ['--log-format', 'pretty'];
const INHERIT = ['--log-programs', 'inherit'];
const CASES = [
  { name: 'inherit, to a file', args: INHERIT, kind: 'plain', to: 'file' },
  { name: 'tagged, pretty, to a file', args: TAGGED_PRETTY, kind: 'plain', to: 'file' },
  { name: 'tagged, JSON from plain lines, to a file', args: TAGGED_JSON, kind: 'plain', to: 'file' },
  { name: 'tagged, JSON from JSON lines, to a file', args: TAGGED_JSON, kind: 'json', to: 'file' },
  { name: 'inherit, to a pipe', args: INHERIT, kind: 'plain', to: 'pipe' },
  { name: 'tagged, pretty, to a pipe', args: TAGGED_PRETTY, kind: 'plain', to: 'pipe' },
  { name: 'tagged, JSON from JSON lines, to a pipe', args: TAGGED_JSON, kind: 'json', to: 'pipe' },
  { name: `inherit, to a file, ${RATE} lines a second`, args: INHERIT, kind: 'plain', to: 'file', rate: RATE },
  {
    name: `tagged, JSON from JSON lines, to a file, ${RATE} a second`,
    args: TAGGED_JSON,
    kind: 'json',
    to: 'file',
    rate: RATE,
  },
];

/** CPU time in ms of all threads of a process. */
function cpuOf(pid) {
  const tasks = readdirSync(`/proc/${pid}/task`);
  const spent = tasks.map((task) => readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]);
  return spent.reduce((sum, nanoseconds) => sum + Number(nanoseconds), 0) / 1e6;
}

function tailOf(path) {
  const fd = openSync(path, 'r');
  const tail = Buffer.alloc(1024);
  const length = readSync(fd, tail, 0, tail.length, Math.max(0, fstatSync(fd).size - tail.length));
  closeSync(fd);
  return tail.toString('latin1', 0, length);
}

async function measure({ args, kind, to, rate }) {
  return withSpace(async (space) => {
    const port = await freePort();
    const out = space.path('out');
    let reader;
    if (to === 'pipe') {
      execFileSync('mkfifo', [out]);
      reader = spawn('sh', ['-c', `cat < ${out} > ${out}.copy`], { stdio: 'ignore' });
    }
    const stdout = openSync(out, 'w');
    const child = spawn(process.execPath, [CLI, 'start', writer, '--name', 'app', '--log-level', 'error', ...args], {
      cwd: space.dir,
      env: { ...space.env, PORT: String(port) },
      stdio: ['ignore', stdout, 'inherit'],
    });
    closeSync(stdout);
    let asked = 0;
    const written = async (count, speed = 0) => {
      const end = `end-${++asked}`;
      await get(port, `/?lines=${count}&kind=${kind}&rate=${speed}&end=${end}`);
      await until(() => tailOf(to === 'pipe' ? `${out}.copy` : out).includes(end), { what: 'the last line' });
      return true;
    };
    await until(() => written(0).catch(() => false), { what: 'the program' });
    const worker = childrenOf(child.pid)[0];
    // Compiled by then.
    await written(20_000);
    const count = rate === undefined ? LINES : rate * (values.quick ? 1 : 5);
    const [start, supervisorBefore, workerBefore] = [performance.now(), cpuOf(child.pid), cpuOf(worker)];
    await written(count, rate);
    const result = {
      perSecond: count / ((performance.now() - start) / 1000),
      supervisor: ((cpuOf(child.pid) - supervisorBefore) * 1000) / count,
      worker: ((cpuOf(worker) - workerBefore) * 1000) / count,
    };
    child.kill();
    await new Promise((resolve) => child.once('exit', resolve));
    if (reader !== undefined && reader.exitCode === null) reader.kill();
    return result;
  });
}

const results = CASES.map(() => []);
for (let round = 0; round < ROUNDS; round++) {
  for (const [index, one] of CASES.entries()) {
    const result = await measure(one);
    results[index].push(result);
    process.stderr.write(`${one.name}: ${Math.round(result.perSecond)} lines/s, ${digits(result.supervisor)} µs\n`);
  }
}
const rows = CASES.map(({ name, rate }, index) => {
  const of = (field) => median(results[index].map((result) => result[field]));
  const speed = rate === undefined ? Math.round(of('perSecond') / 1000) : '–';
  return [name, speed, digits(of('supervisor')), digits(of('worker'))];
});
const typed = process.argv.slice(2);
const command = `npm run bench:output${typed.length > 0 ? ` -- ${typed.join(' ')}` : ''}`;
const markdown = `## Programs' output

${table(['', 'thousand lines/s', 'CPU of the supervisor, µs a line', 'CPU of the worker, µs a line'], rows)}

One worker writes lines of some 100 bytes by \`console.log\`, as fast as it can unless a rate is named; rounds: ${ROUNDS} (medians).
CPU time of all threads, from /proc/PID/task/*/schedstat.

${circumstances(command)}`;
console.log(markdown);
// A quick run is for trying the bench out: its numbers are not worth keeping.
if (!values.quick) writePart('output', markdown);
