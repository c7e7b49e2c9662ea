import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { findExecutable } from './executable.js';
import { leadingFlags } from './flags.js';
import { nest } from './nest.js';
import { npm, npx, pnpm, yarn } from './package-managers.js';
import { forever, nodemon, pm2 } from './process-managers.js';
import type { Launcher } from './start-script.js';

const ASSIGNMENT = /^([A-Za-z_]\w*)=(.*)$/s;

/** Options of node with which it runs no file, or not this one. */
const NO_PROGRAM =
  /^(-[^-rC].*|--(eval|print|check|interactive|test|build-snapshot|version|help|completion-bash|prof-process))$/;

let valued: ReadonlySet<string> | null = null;

/** Options of this node that take the next word as their value: it lists them itself, as `-r, --require=...`. */
function valuedOptions(): ReadonlySet<string> {
  if (valued !== null) return valued;
  const help = execFileSync(process.execPath, ['--help'], { encoding: 'utf8' });
  const lists = [...help.matchAll(/^ {2}(-[\w-]+(?:, -[\w-]+)*)=/gm)];
  valued = new Set(lists.flatMap(([, names = '']) => names.split(', ')));
  return valued;
}

const node: Launcher = (args, start) => {
  const { flags, rest } = leadingFlags(args, new Set([...valuedOptions(), '--run']));
  const nodeArgs: string[] = [];
  for (const { name, value, words } of flags) {
    if (name === '--run') return start.script(value ?? '', rest);
    if (NO_PROGRAM.test(name)) start.refuse(`node ${name} runs no program of a file`);
    if (name.startsWith('--watch')) start.note(`${name} is left out: motya upgrade loads new code`);
    else nodeArgs.push(...words);
  }
  const [script = '-', ...programArgs] = rest;
  if (script === '-') start.refuse('node without a file reads a program from standard input');
  return start.program({ script, args: programArgs, nodeArgs });
};

/** Options of `tsx watch` alone, and those of them that take a value. */
const TSX_WATCH = /^--(no-)?(clear-?screen|include|exclude|ignore)$/i;
const TSX_VALUED = ['--include', '--exclude', '--ignore'];

/** In the same process as `tsx` would run it in a child of its own. */
const tsx: Launcher = (args, start, name) => {
  const [first, ...others] = args;
  const isWatch = first === 'watch';
  if (isWatch) start.note('tsx watch is left out: motya upgrade loads new code');
  const valued = new Set([...valuedOptions(), '--tsconfig', ...(isWatch ? TSX_VALUED : [])]);
  const typed = leadingFlags(isWatch ? others : args, valued);
  const flags = typed.flags.filter(({ name }) => !isWatch || !TSX_WATCH.test(name));
  const { rest } = typed;
  const isPlain = flags.every(({ name }) => name !== '--no-cache') && canImport('tsx', start.directory);
  if (!isPlain) return start.installed(name, isWatch ? [...flags.flatMap(({ words }) => words), ...rest] : args);
  const tsconfig = flags.find(({ name }) => name === '--tsconfig')?.value;
  if (typeof tsconfig === 'string') start.env.TSX_TSCONFIG_PATH = tsconfig;
  const nodeFlags = flags.filter(({ name }) => name !== '--tsconfig').flatMap(({ words }) => words);
  return start.launch(['node', '--import', 'tsx', ...nodeFlags, '--', ...rest]);
};

function canImport(name: string, directory: string): boolean {
  try {
    createRequire(join(directory, 'x')).resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** `cross-env A=1 node x.js`. */
const setsVariables: Launcher = (args, start, name) => {
  let at = 0;
  for (; ; at++) {
    const [, variable, value = ''] = ASSIGNMENT.exec(args[at] ?? '') ?? [];
    if (variable === undefined) break;
    if (name === 'cross-env' && /[$%]/.test(value))
      start.refuse(`${args[at]} has a variable, which only cross-env understands`);
    start.env[variable] = value;
  }
  const command = args.slice(at);
  if (command.length === 0) start.refuse(`${name} starts no program`);
  if (command[0]?.startsWith('-')) start.refuse(`${name} ${command[0]} is not known here`);
  return start.launch(command);
};

/** Runs a command of PATH, which has no node_modules/.bin under Motya: the command by its path. */
const runsCommand =
  (...options: string[]): Launcher =>
  (args, start, name) => {
    const end = args.indexOf('--');
    const own = args[0] === 'run' ? args.slice(1) : args;
    const at = end < 0 ? args.length - leadingFlags(own, new Set(options)).rest.length : end + 1;
    const command = args[at];
    if (command === undefined) return start.refuse(`${name} starts no program`);
    const found = command.includes('/') ? null : findExecutable(command, start.directory);
    return start.installed(name, found?.isLocal ? args.with(at, relative(start.directory, found.path)) : args);
  };

const several: Launcher = (_, start, name) =>
  start.refuse(
    `${name} starts other programs or scripts`,
    'name one of them: motya init PROGRAM -- ARGUMENTS (a motya.yaml may have several services)',
  );

const motya: Launcher = (_, start) =>
  start.refuse('it starts Motya itself', 'name the program: motya init PROGRAM -- ARGUMENTS');

/** Programs that start another one, by their names; all others are the program. */
export const LAUNCHERS: ReadonlyMap<string, Launcher> = new Map<string, Launcher>([
  ['node', node],
  ['nodejs', node],
  ['exec', (args, start) => start.launch(args)],
  ['env', setsVariables],
  ['cross-env', setsVariables],
  ['tsx', tsx],
  ['dotenv', runsCommand('-e', '-v', '-f', '--file')],
  ['dotenvx', runsCommand('-e', '-f', '-fv', '--env', '--env-file', '--convention')],
  ['env-cmd', runsCommand('-f', '--file', '-e', '--environments', '-r', '--rc-file')],
  ['npm', npm],
  ['npx', npx],
  ['pnpm', pnpm],
  ['pnpx', npx],
  ['yarn', yarn],
  ['nest', nest],
  ['motya', motya],
  ['nodemon', nodemon],
  ['pm2', pm2],
  ['pm2-runtime', pm2],
  ['forever', forever],
  ...['concurrently', 'npm-run-all', 'npm-run-all2', 'run-s', 'run-p', 'turbo', 'nx', 'lerna', 'wireit'].map(
    (name) => [name, several] as const,
  ),
]);
