// `npm run test:programs`: programs of others, from the npm registry, through three upgrades under load with one and two workers.
// Writes docs/internals/programs-tested.md when all were tried. `-- --only NAME` this one (again for more); `--dir DIR` where they are installed, and stay.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { commandOf, live } from './life.mjs';
import { PROGRAMS } from './programs.mjs';

const PAGE = new URL('../../docs/internals/programs-tested.md', import.meta.url);
const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    dir: { type: 'string' },
    'at-once': { type: 'string', default: '2' },
  },
});
const only = values.only?.map((name) => name.toLowerCase());
const chosen = PROGRAMS.filter(({ name }) => only === undefined || only.includes(name.toLowerCase()));
if (chosen.length === 0)
  throw new Error(`--only: no program ${values.only}; there are ${PROGRAMS.map(({ name }) => name).join(', ')}`);

const directory = values.dir ?? mkdtempSync(join(tmpdir(), 'motya-programs-'));
try {
  install();
  const lives = chosen.flatMap((program) => [1, 2].map((workers) => ({ program, workers })));
  const results = [];
  const next = lives.values();
  const work = async () => {
    for (const { program, workers } of next) {
      const result = await live(program, workers, join(directory, 'node_modules'));
      results.push({ program, workers, ...result });
      console.log(lineOf(program, workers, result));
    }
  };
  await Promise.all(Array.from({ length: Number(values['at-once']) }, work));
  if (only === undefined) writePage(results);
  // What serves, serves without a failure; what does not says so at the start or when the upgrade is refused.
  const faults = results.filter(({ outcome, failures }) => outcome === 'failed' || failures > 0);
  console.log(`${results.length} lives, ${faults.length} with a fault`);
  process.exitCode = faults.length === 0 ? 0 : 1;
} finally {
  if (values.dir === undefined) rmSync(directory, { recursive: true, force: true });
}

/** All packages at their pinned versions; no scripts of theirs run. */
function install() {
  const dependencies = Object.assign({}, ...PROGRAMS.map(({ packages }) => packages));
  const manifest = `${JSON.stringify({ private: true, dependencies }, null, 2)}\n`;
  const file = join(directory, 'package.json');
  if (existsSync(file) && readFileSync(file, 'utf8') === manifest && existsSync(join(directory, 'node_modules')))
    return;
  mkdirSync(directory, { recursive: true });
  writeFileSync(file, manifest);
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--legacy-peer-deps', '--prefer-offline'];
  execFileSync('npm', ['install', ...quiet], { cwd: directory, stdio: 'inherit' });
}

function lineOf({ name }, workers, { outcome, upgrades, answers, failures, stall, says }) {
  const figures = `${upgrades} upgrades, ${answers} answers, ${failures} failures, longest stall ${Math.round(stall)} ms`;
  return `${outcome.padEnd(8)} ${name}, ${workers} worker${workers > 1 ? 's' : ''}: ${figures}${says === '' ? '' : `: ${says}`}`;
}

function writePage(results) {
  const cell = (text) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
  const rows = PROGRAMS.flatMap((program) =>
    results
      .filter((result) => result.program === program)
      .sort((one, other) => one.workers - other.workers)
      .map(({ workers, outcome, upgrades, answers, failures, says }) => {
        const [name, version] = Object.entries(program.packages)[0];
        const said = says.replaceAll(/\/\S*\/(?=[^/\s]+)/g, '').replaceAll(/pid \d+/g, 'pid …');
        return `| ${program.name} | ${name} ${version} | \`${cell(commandOf(program))}\` | ${workers} | ${outcome}${said === '' ? '' : `: ${cell(said)}`} | ${upgrades} | ${answers} | ${failures} |`;
      }),
  );
  const counts = ['served', 'refused', 'rejected', 'failed'].map(
    (what) => `${results.filter(({ outcome }) => outcome === what).length} ${what}`,
  );
  writeFileSync(
    PAGE,
    `<!-- Written by \`npm run test:programs\`. -->

# Programs that were tried

Programs of the npm registry, unchanged, through three upgrades in a row with one and with two workers. Clients send requests all
the time: for HTTP two on new connections and two on kept ones, for the rest two that begin a conversation each time. After each
command that ends with 0, every listener must answer a new connection. \`served\`: three upgrades. \`refused\`: the program does not
start under Motya, for the reason given. \`rejected\`: an upgrade was rejected or rolled back, and the old version serves on.

${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, Linux ${release()}, \`npm run test:programs\`: ${counts.join(', ')}.

| program | package | command | workers | outcome | upgrades | answers | failures |
|---|---|---|---|---|---|---|---|
${rows.join('\n')}
`,
  );
}
