// The runner of `npm test`: all compiled tests, or those whose path contains one of the arguments. `--quick`: those of the rooms that
// take seconds, and one of real processes.
// Fails if a test fails, if a suite (a directory of test/) ran no test, or if a process of a test is left.
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join, relative, sep } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const SOURCES = join(ROOT, 'test');
const COMPILED = join(ROOT, 'dist-test');
const MARKER = 'SUPERVISED_TEST_ID';
/** ms for one test file: the longest is some upgrades under load; more than this is a hang, unless a long run is asked for. */
const FILE_TIMEOUT = Number(process.env.TEST_FILE_MINUTES ?? 15) * 60_000;
/** ms in which processes that are about to end may do so. */
const LEFTOVER_TIMEOUT = 5_000;

/** Files at a time, for two cores: much of a test's time is spent waiting. */
const AT_ONCE = Number(process.env.TEST_AT_ONCE ?? 3);
/** Files whose time is told at the end. */
const SLOWEST = Number(process.env.TEST_SLOWEST ?? 10);

/**
 * The files that take longest, the longest first. They start first: one that starts last would run alone, on one core, while its
 * processes sleep. The end of a run says which files take long now.
 */
const SLOW = [
  'e2e/systemd/',
  'model/',
  'e2e/probation/probation.',
  'e2e/programs/programs.',
  'e2e/moves/stops.',
  'e2e/failures.',
  'e2e/programs/wrapper.',
  'e2e/package.',
  'e2e/probation/listeners.',
  'keeper/keeper.',
  'e2e/takeover/force.',
  'e2e/moves/limits.',
  'e2e/moves/kills.',
  'e2e/moves/keep-alive.',
  'e2e/upgrade.',
  'e2e/load-programs.',
  'faults/',
  'e2e/signals.',
  'e2e/listeners.',
  'e2e/start.',
  'e2e/many-upgrades.',
  'cli/bad-input.',
  'cli/target.',
  'cli/help.',
  'cli/drill/',
  'cli/init',
  'cli/upgrade.',
  'cli/status.',
  'keeper/around.',
  'handover/incumbent.',
  'cli/starting.',
  'cli/completion.',
  'cli/differences.',
  'base/native/poll.',
  'config/check.',
  'status/admin/listener.',
  'status/admin/page.',
  'status/admin/counters.',
  'handover/successor.',
  'runtime/listen.',
];
/** Directories of tests that are no rooms of src/. */
const WHOLE = /^(e2e|faults|fuzz|model)\//;
/** One test of real processes with upgrades for `--quick`. */
const QUICK_EXAMPLE = 'e2e/library.';

const rank = (file) => {
  const at = SLOW.findIndex((prefix) => file.startsWith(prefix));
  return at < 0 ? SLOW.length : at;
};
const isQuick = (file) => file.startsWith(QUICK_EXAMPLE) || (rank(file) === SLOW.length && !WHOLE.test(file));

const filesBelow = (dir) =>
  readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)));

const suiteOf = (file) => (file.includes(sep) ? file.split(sep)[0] : '.');

/** A test whose source is gone would go on running from its old compilation. */
function removeStale() {
  for (const file of filesBelow(COMPILED)) {
    const source = file.replace(/\.js(\.map)?$/, '.ts');
    if (source !== file && !existsSync(join(SOURCES, source))) rmSync(join(COMPILED, file));
  }
}

/**
 * Runs the files; returns the number of failures, of tests that ran (were not skipped) for each suite, and of those that were left
 * out for each reason.
 */
async function runTests(files) {
  const ran = new Map(files.map((file) => [suiteOf(file), 0]));
  const took = new Map();
  const leftOut = new Map();
  let failures = 0;
  const events = run({ files: files.map((file) => join(COMPILED, file)), concurrency: AT_ONCE, timeout: FILE_TIMEOUT });
  const count = (data) => {
    // The file that defines the test, which several test files may share.
    const file = relative(COMPILED, data.file ?? '');
    const suite = suiteOf(file);
    if (data.nesting === 0) took.set(file, (took.get(file) ?? 0) + data.details.duration_ms);
    // A file without a single test is itself reported as a test.
    const isFile = data.name === data.file || basename(data.name) === basename(data.file ?? '');
    const skipped = data.skip !== undefined || data.todo !== undefined;
    if (!isFile && typeof data.skip === 'string') leftOut.set(data.skip, (leftOut.get(data.skip) ?? 0) + 1);
    if (!isFile && !skipped && data.details?.type !== 'suite' && ran.has(suite)) ran.set(suite, ran.get(suite) + 1);
  };
  events.on('test:pass', count);
  events.on('test:fail', (data) => {
    count(data);
    if (data.todo === undefined && data.details?.type !== 'suite') failures += 1;
  });
  for await (const text of events.compose(new spec())) process.stdout.write(text);
  for (const [file, ms] of [...took].sort(([, a], [, b]) => b - a).slice(0, SLOWEST)) {
    console.log(`ℹ ${(ms / 1000).toFixed(0).padStart(4)} s in ${file}`);
  }
  return { failures, ran, leftOut };
}

/** Living processes of this run, as `pid command`. */
function leftovers(id) {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return [];
    try {
      const marker = readFileSync(`/proc/${pid}/environ`, 'utf8')
        .split('\0')
        .find((entry) => entry.startsWith(`${MARKER}=`));
      if (marker === undefined || !`${marker}.`.startsWith(`${MARKER}=${id}.`)) return [];
      return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`];
    } catch {
      // Gone, or another user's.
      return [];
    }
  });
}

async function leftoversInTheEnd(id) {
  const end = performance.now() + LEFTOVER_TIMEOUT;
  let left = leftovers(id);
  while (left.length > 0 && performance.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    left = leftovers(id);
  }
  return left;
}

const filters = process.argv.slice(2).filter((argument) => argument !== '--quick');
const onlyQuick = process.argv.includes('--quick');
removeStale();
const sources = filesBelow(SOURCES).filter((file) => file.endsWith('.test.ts') && suiteOf(file) !== 'fixtures');
const selected = sources
  .map((file) => file.replace(/\.ts$/, '.js'))
  .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
  .filter((file) => !onlyQuick || isQuick(file))
  .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
const problems = [];
const missing = selected.filter((file) => !existsSync(join(COMPILED, file)));
problems.push(...missing.map((file) => `${file} is not compiled`));
if (selected.length === 0) problems.push(`no test file${filters.length > 0 ? ` matches ${filters.join(' ')}` : ''}`);

const id = `run-${randomBytes(6).toString('hex')}`;
// Everything that the tests start inherits it.
process.env[MARKER] = id;
const { failures, ran, leftOut } = await runTests(selected.filter((file) => !missing.includes(file)));
if (failures > 0) problems.push(`${failures} failed`);
for (const [suite, tests] of ran) {
  if (tests === 0) problems.push(`suite ${suite} ran no test`);
}
problems.push(...(await leftoversInTheEnd(id)).map((process) => `left behind: ${process}`));

if (leftOut.size > 0) {
  console.log('ℹ left out:');
  for (const [reason, tests] of leftOut) console.log(`ℹ ${String(tests).padStart(4)}  ${reason}`);
}
for (const problem of problems) console.error(`test: ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;
