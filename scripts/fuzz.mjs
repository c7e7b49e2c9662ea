// `npm run fuzz -- [--minutes N] [--keep]`: coverage-guided fuzzing (libFuzzer) of the parts of the addon that read what a peer says,
// under AddressSanitizer, UndefinedBehaviorSanitizer and LeakSanitizer; all targets at once. Needs clang with its runtime (Debian:
// clang, libclang-rt-14-dev). Ends with 0 when nothing was found. The corpus grows by what is new only with --keep.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CORPUS = join(ROOT, 'test', 'fuzz', 'corpus');
const OUTPUT = join(ROOT, 'build', 'fuzz');
/** Bytes of an input: the longest address, and orders for some dozen messages. */
const INPUT_BYTES = 256;
/** Seconds for one input: each takes milliseconds, and one that takes this long hangs. */
const HANG_S = 10;

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '1' }, keep: { type: 'boolean', default: false } },
});
const seconds = Math.ceil(Number(values.minutes) * 60);
const targets = readdirSync(join(ROOT, 'test', 'fuzz'))
  .filter((name) => name.endsWith('.cc'))
  .map((name) => name.slice(0, -'.cc'.length));

function build(target) {
  mkdirSync(OUTPUT, { recursive: true });
  const flags = ['-std=c++17', '-O1', '-g', '-fno-exceptions', '-Wall', '-Wextra', '-Werror'];
  const sanitizers = ['-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=undefined'];
  const binary = join(OUTPUT, target);
  const { status } = spawnSync(
    'clang++',
    [...flags, ...sanitizers, '-o', binary, join(ROOT, 'test', 'fuzz', `${target}.cc`)],
    { stdio: 'inherit' },
  );
  if (status !== 0) throw new Error(`${target} cannot be built; it needs clang and its runtime`);
  return binary;
}

/** libFuzzer's own last words: `#123 DONE cov: 45 ft: 67 corp: 8/9b … rss: 40Mb`. */
const DONE = /#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+) corp: (\d+)\/\S+ .*rss: (\d+)Mb/;
const STARTED = /#\d+\s+INITED .*rss: (\d+)Mb/;

async function fuzz(target, binary) {
  const corpus = mkdtempSync(join(tmpdir(), `fuzz-${target}-`));
  const known = join(CORPUS, target);
  cpSync(known, corpus, { recursive: true });
  const limits = [`-max_total_time=${seconds}`, `-max_len=${INPUT_BYTES}`, `-timeout=${HANG_S}`];
  const child = spawn(binary, [...limits, `-artifact_prefix=${OUTPUT}/${target}-`, corpus], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // What the sanitizer keeps of freed memory would hide whether ours grows.
    env: { ...process.env, ASAN_OPTIONS: 'quarantine_size_mb=1:malloc_context_size=5' },
  });
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (part) => {
    text += part;
  });
  const status = await new Promise((resolve) => child.on('close', resolve));
  if (values.keep && status === 0) {
    const grown = mkdtempSync(join(tmpdir(), `fuzz-${target}-grown-`));
    spawnSync(binary, ['-merge=1', `-max_len=${INPUT_BYTES}`, grown, corpus], { stdio: 'ignore' });
    cpSync(grown, known, { recursive: true });
    rmSync(grown, { recursive: true });
  }
  rmSync(corpus, { recursive: true });
  const done = DONE.exec(text);
  if (status !== 0 || done === null) process.stderr.write(text.slice(-4000));
  return { target, status, done, started: STARTED.exec(text) };
}

const results = await Promise.all(targets.map((target) => fuzz(target, build(target))));
for (const { target, status, done, started } of results) {
  const [, runs, coverage, features, inputs, memory] = done ?? [];
  const found = status === 0 ? 'nothing found' : `FOUND SOMETHING (exit status ${status}); the input is in ${OUTPUT}`;
  console.log(
    `${target}: ${runs} inputs in ${seconds} s, ${coverage} edges, ${features} features, corpus ${inputs}, ${started?.[1]} MiB at the start, ${memory} at the end: ${found}`,
  );
}
const failed = results.filter(({ status, done }) => status !== 0 || done === null).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
