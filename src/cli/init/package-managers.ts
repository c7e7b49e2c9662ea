import type { TypedFlag } from './flags.js';
import { leadingFlags, sortedWords } from './flags.js';
import type { Launcher, StartScript } from './start-script.js';

const DIRECTORY = ['--prefix', '--cwd', '-C', '--dir'];
const WORKSPACE = ['-w', '--workspace', '-F', '--filter'];
const VALUED: ReadonlySet<string> = new Set([
  ...DIRECTORY,
  ...WORKSPACE,
  '--loglevel',
  '--script-shell',
  '--node-options',
]);
/** They change what is printed or asked, not what runs. */
const HARMLESS =
  /^(-s|--silent|-q|--quiet|-y|--yes|--no|--no-install|--if-present|--offline|--loglevel|--no-progress|--color|--no-color)$/;

function follow(flags: readonly TypedFlag[], start: StartScript, name: string): void {
  for (const { name: flag, value, words } of flags) {
    if (DIRECTORY.includes(flag) && value !== null) start.enter(value);
    else if (WORKSPACE.includes(flag)) inWorkspace(start, `${name} ${words.join(' ')}`);
    else if (!HARMLESS.test(flag)) start.refuse(`${name} ${flag} is not known here`);
  }
}

const inWorkspace = (start: StartScript, typed: string): never =>
  start.refuse(`${typed} runs scripts of a workspace`, "run motya init in that workspace's directory");

/** npm keeps the flags behind the script's name; words and what follows `--` are the script's. */
export const npm: Launcher = (args, start, name) => {
  const { rest } = leadingFlags(args, VALUED);
  if (rest[0] === 'exec' || rest[0] === 'x') return npx(rest.slice(1), start, `${name} exec`);
  const { flags, operands, after } = sortedWords(args, VALUED);
  follow(flags, start, name);
  const [command, script, ...words] = operands;
  if (command === 'start') return start.script('start', [...operands.slice(1), ...after]);
  const isRun = command === 'run' || command === 'run-script';
  if (isRun && script !== undefined) return start.script(script, [...words, ...after]);
  return start.refuse(`${[name, ...args].join(' ')} runs no script`);
};

/** `npx next start`: what is installed. */
export const npx: Launcher = (args, start, name) => {
  const { flags, rest } = leadingFlags(args, VALUED);
  follow(flags, start, name);
  if (rest.length === 0) return start.refuse(`${name} starts no program`);
  return start.launch(rest);
};

/** What follows the name of a script, flags too, is the script's. */
const runner =
  (dropsDashes: boolean): Launcher =>
  (args, start, name) => {
    const { flags, rest } = leadingFlags(args, VALUED);
    follow(flags, start, name);
    const [command = 'start', ...words] = rest;
    if (command === 'exec') return npx(words, start, `${name} exec`);
    if (command === 'node') return start.launch(['node', ...words]);
    if (/^(workspace|workspaces|dlx|recursive)$/.test(command)) {
      return command === 'dlx'
        ? start.refuse(`${name} dlx runs what is not installed`)
        : inWorkspace(start, `${name} ${command}`);
    }
    const isRun = command === 'run';
    const inner = leadingFlags(isRun ? words : rest, VALUED);
    follow(inner.flags, start, name);
    const [script, ...others] = inner.rest;
    if (script === undefined) return start.refuse(`${[name, ...args].join(' ')} runs no script`);
    const given = dropsDashes && others[0] === '--' ? others.slice(1) : others;
    return start.hasScript(script) || script === 'start'
      ? start.script(script, given)
      : start.launch(rest.slice(isRun ? 1 : 0));
  };

export const yarn = runner(true);
export const pnpm = runner(false);
