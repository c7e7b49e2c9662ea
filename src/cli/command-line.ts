import { SettingsError } from '../base/errors.js';
import { suggestion } from '../base/suggestion.js';
import type { Command } from './command.js';
import { commands } from './commands/index.js';

/** What was typed after `motya`. */
export interface CommandLine {
  readonly own: readonly string[];
  /** What followed `--`: it belongs to the program, whatever it looks like. */
  readonly program: readonly string[];
}

export function splitCommandLine(typed: readonly string[]): CommandLine {
  const args = asksForHelp(typed) ? [...typed.slice(1), '--help'] : typed;
  const at = args.indexOf('--');
  return at < 0 ? { own: args, program: [] } : { own: args.slice(0, at), program: args.slice(at + 1) };
}

/** As other programs have it: `motya help start`, `motya -h`. */
const asksForHelp = ([first]: readonly string[]): boolean => first === 'help' || first === '-h';

/** The command that the arguments begin with, a subcommand included. */
export function findCommand(
  args: readonly string[],
  among: readonly Command[] = commands,
  parents = '',
): { name: string; command: Command } | undefined {
  const command = among.find(({ name }) => name === args[0]);
  if (command === undefined) return undefined;
  const name = `${parents}${command.name}`;
  return findCommand(args.slice(1), command.subcommands ?? [], `${name} `) ?? { name, command };
}

/** What yargs would let pass, or say less well. @throws {SettingsError} */
export function checkCommandLine({ own, program }: CommandLine): void {
  const [first] = own;
  const found = findCommand(own);
  if (found === undefined && first !== undefined && !first.startsWith('-')) {
    const names = commands.map(({ name }) => name);
    throw new SettingsError(`Unknown command: ${first}${suggestion(first, names) || '; see motya --help'}`);
  }
  if (found !== undefined && program.length > 0 && found.command.takesProgramArguments !== true) {
    throw new SettingsError(`motya ${found.name} takes no arguments after --`);
  }
  for (const word of own) {
    const [, flag = '', value = ''] = /^--(?:no-)?([^=]+)=(.*)$/s.exec(word) ?? [];
    const flags = Object.entries(found?.command.flags ?? {});
    const isSwitch = flags.some(
      ([name, { type }]) => type === 'boolean' && (name === flag || camelCased(name) === flag),
    );
    // yargs takes whatever is not `true` for no: `--dry-run=1` would be no dry run.
    if (isSwitch && value !== 'true' && value !== 'false') {
      throw new SettingsError(`${word}: is a switch; type --${flag}, or --no-${flag}`);
    }
  }
}

/** yargs' message about a command line, with what may have been meant. */
export function explained(message: string, { own }: CommandLine): string {
  const found = findCommand(own);
  const help = `; see motya ${found === undefined ? '' : `${found.name} `}--help`;
  const [, list] = /^Unknown arguments?: (.*)$/.exec(message) ?? [];
  if (found === undefined || list === undefined) return message + help;
  // yargs names a flag twice: as it was typed, and in camelCase.
  const all = list.split(', ');
  const unknown = all.filter((word) => !all.some((other) => other !== word && camelCased(other) === word));
  const [only] = unknown;
  if (only === undefined || unknown.length > 1) return `Unknown arguments: ${unknown.join(', ')}${help}`;
  if (own.includes(only)) {
    const how = found.command.takesProgramArguments ? `; arguments of the program follow --` : help;
    return `Unknown argument: ${only}${how}`;
  }
  const flags = Object.keys(found.command.flags ?? {}).map((flag) => `--${flag}`);
  return `Unknown argument: ${only}${suggestion(`--${only}`, flags) || help}`;
}

const camelCased = (flag: string): string => flag.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
