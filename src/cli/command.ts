import type { Argv, CommandModule } from 'yargs';
import type { Flag } from '../config/options.js';
import type { ExitName } from './exit-status.js';

/**
 * One command of `motya`: what yargs parses and shows, and what the manual (docs/reference/commands.md) and the completion scripts are made
 * from. A command module imports nothing heavy at its top: all are loaded whenever `motya` runs, `run` only for the one typed.
 */
export interface Command<Arguments = never> {
  /** As it is typed after `motya`. */
  readonly name: string;
  /** One line of `motya --help`: at most 52 characters, so that it fits 80 columns. */
  readonly summary: string;
  /** What the command's own help and the manual say beyond it: a text a paragraph. */
  readonly details?: readonly string[];
  /** Optional words after the name, in their order. */
  readonly positionals?: Readonly<Record<string, Flag>>;
  readonly flags?: Readonly<Record<string, Flag>>;
  /** What follows `--` is for the program. */
  readonly takesProgramArguments?: boolean;
  readonly examples: readonly (readonly [line: string, effect: string])[];
  /** Statuses that it may end with. */
  readonly exits: readonly ExitName[];
  readonly subcommands?: readonly Command[];
  run(args: Arguments): Promise<void>;
}

/** `start [script]`, without `motya` before it. */
export function usageOf({ name, positionals = {} }: Command): string {
  return [name, ...Object.keys(positionals).map((word) => `[${word}]`)].join(' ');
}

/** Like yargs' own help, but with the command whole on a line of its own: it is there to be copied. */
export function exampleText(examples: Command['examples']): string {
  return ['Examples:', ...examples.map(([line, effect]) => `  ${line}\n      ${effect}`)].join('\n');
}

/** With its default, which yargs hides together with the types (noise: all but the switches are texts). */
function described({ description, defaultDescription }: Flag): string {
  return defaultDescription === undefined ? description : `${description} (default: ${defaultDescription})`;
}

/** @param parents words before the name, for `init systemd`. */
export function yargsModule(command: Command, parents: readonly string[] = []): CommandModule {
  const { summary, details = [], positionals = {}, flags = {}, subcommands = [], examples } = command;
  const words = [...parents, usageOf(command)].join(' ');
  const rest = command.takesProgramArguments ? ' [-- arguments of the program]' : '';
  return {
    command: usageOf(command),
    describe: summary,
    builder: (yargs: Argv) => {
      yargs.usage([`$0 ${words} [flags]${rest}`, summary, ...details].join('\n\n'));
      for (const inner of subcommands) yargs.command(yargsModule(inner, [...parents, command.name]));
      for (const [name, { description }] of Object.entries(positionals)) {
        yargs.positional(name, { describe: description, type: 'string' });
      }
      for (const [name, flag] of Object.entries(flags)) yargs.option(name, { ...flag, description: described(flag) });
      return yargs.epilogue(exampleText(examples));
    },
    handler: (args) => command.run(args as never),
  };
}
