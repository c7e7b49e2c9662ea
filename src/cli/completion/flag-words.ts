import type { Flag } from '../../config/options.js';
import { valuesOf } from '../../config/setting-values.js';
import type { Command } from '../command.js';

/** What can stand after a command or a flag. */
export type Operand =
  | { readonly kind: 'file' }
  | { readonly kind: 'values'; readonly values: readonly string[] }
  /** Something that no shell can guess. */
  | { readonly kind: 'text' }
  /** Nothing. */
  | { readonly kind: 'none' };

export interface FlagWords {
  /** With its dashes. */
  readonly word: string;
  readonly description: string;
  readonly operand: Operand;
}

/** One command as a shell sees it. */
export interface CommandWords {
  /** `init systemd` */
  readonly name: string;
  readonly summary: string;
  readonly flags: readonly FlagWords[];
  readonly operand: Operand;
  readonly subcommands: readonly CommandWords[];
}

/** Every command, subcommands inside theirs. */
export function commandWords(commands: readonly Command[]): CommandWords[] {
  return commands.map((command) => wordsOf(command, ''));
}

/** Every command, subcommands after theirs. */
export function flattened(all: readonly CommandWords[]): CommandWords[] {
  return all.flatMap((command) => [command, ...flattened(command.subcommands)]);
}

function wordsOf(command: Command, parents: string): CommandWords {
  const { summary, flags = {}, positionals = {}, subcommands = [] } = command;
  const name = `${parents}${command.name}`;
  const [positional] = Object.values(positionals);
  const help = { word: '--help', description: 'Show help', operand: { kind: 'none' } } as const;
  return {
    name,
    summary,
    flags: [...Object.entries(flags).map(([flag, details]) => flagWords(flag, details)), help],
    operand: positional === undefined ? { kind: 'none' } : operandOf(positional),
    subcommands: subcommands.map((inner) => wordsOf(inner, `${name} `)),
  };
}

function flagWords(flag: string, details: Flag): FlagWords {
  const operand: Operand = details.type === 'boolean' ? { kind: 'none' } : operandOf(details);
  return { word: `--${flag}`, description: details.description, operand };
}

function operandOf({ isPath, values, setting }: Flag): Operand {
  if (isPath) return { kind: 'file' };
  const known = values ?? (setting === undefined ? [] : valuesOf(setting));
  return known.length > 0 ? { kind: 'values', values: known } : { kind: 'text' };
}
