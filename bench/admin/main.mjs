// `npm run bench:admin`: what monitoring costs. Prints Markdown and keeps it in docs/internals/benchmarks.md.
import { mkdirSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cpuTimeOf, freePort } from '../../dist-test/e2e/harness/index.js';
import { digits, max, median, min, verdict } from '../upgrade/lib/numbers.mjs';
import { app } from '../upgrade/lib/paths.mjs';
import { circumstances, table, writePart } from '../upgrade/lib/report.mjs';
import { run, withSpace } from '../upgrade/lib/space.mjs';
import { MotyaSubject } from '../upgrade/subjects/motya.mjs';

const BAR = 0.99;
const CONNECTIONS = 32;
/** ms between two looks: more often than any scraper or the status page. */
const EVERY_MS = 1000;
/** The whole server, supervisor included, on one core, so that a look takes its time from the program. */
const SERVER_CORE = '0';
const LOAD_CORE = '1';

const { values } = parseArgs({
  options: { pairs: { type: 'string', default: '20' }, seconds: { type: 'string', default: '3' } },
});
const [pairs, seconds] = [Number(values.pairs), Number(values.seconds)];

const quiet = [];
const watched = [];
await withSpace(async (space) => {
  // Of one age, and never the same instance: the delay of an event loop is measured for a while after a look.
  const servers = { quiet: await start(space, 'quiet'), watched: await start(space, 'watched') };
  for (const { port } of Object.values(servers)) await load(space, port, seconds);
  for (let pair = 0; pair < pairs; pair++) {
    // The order alternates, so that what changes on the machine meanwhile falls on both.
    for (const name of pair % 2 === 0 ? ['quiet', 'watched'] : ['watched', 'quiet']) {
      const looks = name === 'watched' ? watch(servers.watched.admin) : null;
      const measured = await measure(space, servers[name]);
      const failures = looks === null ? 0 : await looks.stop();
      if (failures > 0) throw new Error(`${failures} looks failed`);
      (name === 'quiet' ? quiet : watched).push(measured);
    }
    process.stderr.write(`pair ${pair + 1}: ${digits(watched.at(-1).rate)} of ${digits(quiet.at(-1).rate)}/s\n`);
  }
});

const rates = quiet.map(({ rate }, index) => watched[index].rate / rate);
const cpu = quiet.map(({ micros }, index) => watched[index].micros / micros);
const spread = (ratios) => [min(ratios), median(ratios), max(ratios)].map((ratio) => ratio.toFixed(3)).join(' / ');
const of = (measured, key) => digits(median(measured.map((one) => one[key])));
const markdown = `## The cost of monitoring

${table(
  ['', 'not monitored', 'scraped each second', 'ratio (min / median / max)', 'median'],
  [
    ['requests/s', of(quiet, 'rate'), of(watched, 'rate'), spread(rates), verdict(median(rates) >= BAR, `≥ ${BAR}`)],
    ['CPU µs a request, both main threads', of(quiet, 'micros'), of(watched, 'micros'), spread(cpu), '–'],
  ],
)}

One worker, ${CONNECTIONS} keep-alive connections, load by wrk; server (supervisor and worker) and load pinned to a core each.
\`/metrics\` and \`/status.json\` are asked for each second. ${pairs} pairs of ${seconds} s, in alternating order, of two instances.

${circumstances('npm run bench:admin')}`;
console.log(markdown);
if (pairs >= 10) writePart('admin', markdown);

async function start(space, name) {
  const port = await freePort();
  const admin = join(space.dir, `${name}.admin.sock`);
  mkdirSync(join(space.dir, name), { mode: 0o700 });
  const launcher = ['taskset', '-c', SERVER_CORE, process.execPath];
  const env = { PORT: String(port), MOTYA_ADMIN: `unix:${admin}`, XDG_RUNTIME_DIR: join(space.dir, name) };
  const subject = new MotyaSubject(space, { script: app('server.cjs'), env, launcher });
  await subject.started();
  const { pid } = JSON.parse(await subject.process.waitForStdout(/listening/));
  return { port, admin, pids: [pid, subject.process.pid] };
}

async function measure(space, { port, pids }) {
  const spent = () => pids.reduce((sum, pid) => sum + cpuTimeOf(pid), 0);
  const before = spent();
  const rate = await load(space, port, seconds);
  return { rate, micros: ((spent() - before) * 1000) / (rate * seconds) };
}

async function load(space, port, duration) {
  const args = ['wrk', '-t1', `-c${CONNECTIONS}`, `-d${duration}s`, `http://127.0.0.1:${port}/`];
  const text = await run(space, 'taskset', ['-c', LOAD_CORE, ...args]);
  const errors = /Socket errors:.*|Non-2xx.*/.exec(text);
  if (errors !== null) throw new Error(`wrk: ${errors[0]}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1]);
}

/** Looks at once and then each second, until it is stopped: then it says how many looks have failed. */
function watch(socketPath) {
  let failures = 0;
  const looks = [];
  const look = (path) =>
    new Promise((resolve) => {
      const failed = () => {
        failures += 1;
        resolve();
      };
      const sent = request({ socketPath, path, agent: false }, (response) => {
        if (response.statusCode !== 200) failures += 1;
        response.resume().on('end', resolve).on('error', failed);
      });
      sent.on('error', failed).end();
    });
  const both = () => looks.push(look('/metrics'), look('/status.json'));
  both();
  const timer = setInterval(both, EVERY_MS);
  return {
    stop: async () => {
      clearInterval(timer);
      await Promise.all(looks);
      return failures;
    },
  };
}
