import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { leadingFlags, sortedWords, type TypedFlag } from './flags.js';
import { readShellLine } from './shell-line.js';
import type { Launcher, StartScript } from './start-script.js';

const setOf = (names: string): ReadonlySet<string> => new Set(names.split(' '));
const words = (line: string): readonly string[] => readShellLine(line).at(-1)?.words ?? [];
const flagValue = (flags: readonly TypedFlag[], ...names: string[]): string | null =>
  flags.find(({ name }) => names.includes(name))?.value ?? null;

const NODEMON_VALUED = setOf('-w --watch -e --ext -i --ignore -x --exec -d --delay -s --signal --config');
/** Its own without a value; node gets the others. */
const NODEMON_OWN =
  /^(-q|--quiet|-V|--verbose|-L|--legacy-watch|-C|--on-change-only|-I|--no-stdin|--no-colours|--spawn|--exitcrash)$/;

/** Of nodemon.json, or of package.json; nothing where there are none that can be read. */
function nodemonSettings(directory: string): Readonly<Record<string, unknown>> {
  for (const file of ['nodemon.json', 'package.json']) {
    try {
      const content = JSON.parse(readFileSync(join(directory, file), 'utf8'));
      return (file === 'package.json' ? content.nodemonConfig : content) ?? {};
    } catch {}
  }
  return {};
}

/** `nodemon --watch src --exec "node -r x" app.js`. */
export const nodemon: Launcher = (args, start, name) => {
  const { flags, rest } = leadingFlags(args, NODEMON_VALUED);
  const own = ['exec', 'execMap', 'env'].find((key) => nodemonSettings(start.directory)[key] !== undefined);
  if (own !== undefined) start.refuse(`nodemon has settings of its own (${own}), which are not read`);
  start.note(`${name} is left out: motya upgrade loads new code`);
  const exec = flagValue(flags, '-x', '--exec');
  // It takes the main file when it is given none.
  const script = rest.length > 0 || exec !== null ? rest : ['.'];
  const forNode = flags
    .filter(({ name }) => !NODEMON_VALUED.has(name) && !NODEMON_OWN.test(name))
    .flatMap(({ words }) => words);
  const by = exec ?? (/\.ts$/.test(script[0] ?? '') ? 'ts-node' : 'node');
  return start.line(by, [...forNode, ...script]);
};

const PM2_VALUED = setOf(
  [
    '-n --name --namespace -i --instances --interpreter --interpreter-args --node-args --cwd --env -a --args -u --user --uid --gid',
    '-o --output -e --error -l --log --log-type --log-date-format -p --pid --ignore-watch -c --cron-restart --stop-exit-codes',
    '--max-memory-restart --max-restarts --restart-delay --exp-backoff-restart-delay --min-uptime --kill-timeout --listen-timeout',
  ].join(' '),
);

/** `pm2 start app.js -i max -- --port 80`, `pm2-runtime app.js`. */
export const pm2: Launcher = (args, start, name) => {
  const { flags, operands, after } = sortedWords(args, PM2_VALUED);
  const isStart = operands[0] === 'start';
  if (!isStart && name === 'pm2') return start.refuse(`${name} ${operands[0] ?? ''} starts no program`);
  const [script, ...others] = isStart ? operands.slice(1) : operands;
  if (script === undefined) return start.refuse(`${name} starts no program`);
  if (others.length > 0) start.refuse(`${name} starts several programs (${[script, ...others].join(', ')})`);
  const instances = flagValue(flags, '-i', '--instances');
  if (instances !== null) {
    if (!/^(max|\d+)$/.test(instances)) start.refuse(`${name} -i ${instances} is not known here`);
    start.workers = Number(instances) > 0 ? Number(instances) : 'auto';
  }
  const cwd = flagValue(flags, '--cwd');
  if (cwd !== null) start.enter(cwd);
  leftOut(start, name, flags, ['-i', '--instances', '--cwd', '--node-args', '--interpreter-args', '--interpreter']);
  // `pm2 start "npm run prod"` and `pm2 start npm -- run prod` run a command.
  if (/\s/.test(script)) return start.line(script, after);
  if (!existsSync(join(start.directory, script)) && !/[./]/.test(script)) return start.launch([script, ...after]);
  const options = words(flagValue(flags, '--node-args', '--interpreter-args') ?? '');
  const by = flagValue(flags, '--interpreter') ?? (/\.tsx?$/.test(script) ? 'ts-node' : 'node');
  return start.launch([by, ...options, script, ...after]);
};

const FOREVER_VALUED = setOf(
  '-m -l -o -e -p -c -t --pidFile --uid --sourceDir --workingDir --minUptime --spinSleepTime --watchDirectory --watchIgnore --killSignal',
);

/** `forever start -l app.log app.js --port 80`. */
export const forever: Launcher = (args, start, name) => {
  const { flags: before, rest } = leadingFlags(args, FOREVER_VALUED);
  const { flags: behind, rest: command } = leadingFlags(rest[0] === 'start' ? rest.slice(1) : rest, FOREVER_VALUED);
  const flags = [...before, ...behind];
  const cwd = flagValue(flags, '--workingDir', '--sourceDir');
  if (cwd !== null) start.enter(cwd);
  leftOut(start, name, flags, ['-c', '--workingDir', '--sourceDir']);
  return start.line(flagValue(flags, '-c') ?? 'node', command);
};

function leftOut(start: StartScript, name: string, flags: readonly TypedFlag[], taken: readonly string[]): void {
  const left = flags.filter((flag) => !taken.includes(flag.name)).flatMap(({ words }) => words);
  start.note(`${name} is left out${left.length === 0 ? '' : ` with its ${left.join(' ')}`}`);
}
