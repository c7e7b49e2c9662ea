import type { Flag } from '../../config/options.js';
import { valuesOf } from '../../config/setting-values.js';
import type { Command } from '../command.js';

/** What can stand after a command or a flag. */
export type Operand =
  | { readonly kind: 'file' }
  | { readonly kind: 'values'; readonly values: readonly string[] }
  /** A text that no shell can complete. */
  | { readonly kind: 'text' }
  /** Nothing. */
  | { readonly kind: 'none' };

export interface FlagEntry {
  /** With its dashes. */
  readonly word: string;
  readonly description: string;
  readonly operand: Operand;
}

/** One command as a shell sees it. */
export interface CommandTree {
  /** `init systemd` */
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly FlagEntry[];
  readonly operand: Operand;
  readonly subcommands: readonly CommandTree[];
}

/** Every command, subcommands inside theirs. */
export function commandTrees(commands: readonly Command[]): CommandTree[] {
  return commands.map((command) => treeOf(command, ''));
}

/** Every command, subcommands after theirs. */
export function flattened(all: readonly CommandTree[]): CommandTree[] {
  return all.flatMap((command) => [command, ...flattened(command.subcommands)]);
}

function treeOf(command: Command, parents: string): CommandTree {
  const { summary, flags = {}, positionals = {}, subcommands = [] } = command;
  const name = `${parents}${command.name}`;
  const [positional] = Object.values(positionals);
  const help = { word: '--help', description: 'Show help', operand: { kind: 'none' } } as const;
  return {
    name,
    summary,
    flags: [
      ...Object.entries(flags)
        .filter(([, { hidden }]) => hidden !== true)
        .map(([flag, details]) => flagEntry(flag, details)),
      help,
    ],
    operand: positional === undefined ? { kind: 'none' } : operandOf(positional),
    subcommands: subcommands.map((inner) => treeOf(inner, `${name} `)),
  };
}

function flagEntry(flag: string, details: Flag): FlagEntry {
  const operand: Operand = details.type === 'boolean' ? { kind: 'none' } : operandOf(details);
  return { word: `--${flag}`, description: details.description, operand };
}

function operandOf({ isPath, values, setting }: Flag): Operand {
  if (isPath) return { kind: 'file' };
  const known = values ?? (setting === undefined ? [] : valuesOf(setting));
  return known.length > 0 ? { kind: 'values', values: known } : { kind: 'text' };
}
