import { type CommandTree, flattened, type Operand } from './command-tree.js';

export function fishScript(commands: readonly CommandTree[]): string {
  const top = commands.map(
    ({ name, summary }) => `complete -c motya -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
  );
  return `# Completion of motya for fish. Install it once:
#   motya completion fish > ~/.config/fish/completions/motya.fish
complete -c motya -f
complete -c motya -n __fish_use_subcommand -l version -d 'Show version number'
complete -c motya -n __fish_use_subcommand -l help -d 'Show help'
${[...top, ...flattened(commands).flatMap(linesOf)].join('\n')}
`;
}

function linesOf(command: CommandTree): string[] {
  const complete = `complete -c motya -n ${quoted(condition(command))}`;
  const { flags, operand, subcommands } = command;
  return [
    ...subcommands.map(({ name, summary }) => `${complete} -a ${name.split(' ').at(-1)} -d ${quoted(summary)}`),
    ...flags.map(({ word, description, operand: value }) => {
      return `${complete} -l ${word.slice(2)}${operandOf(value)} -d ${quoted(description)}`;
    }),
    ...(operand.kind === 'file' ? [`${complete} -F`] : []),
    ...(operand.kind === 'values' ? [`${complete} -a ${quoted(operand.values.join(' '))}`] : []),
  ];
}

/** This command has been typed, and no subcommand of it. */
function condition({ name, subcommands }: CommandTree): string {
  const seen = name.split(' ').map((word) => `__fish_seen_subcommand_from ${word}`);
  const inner = subcommands.map((subcommand) => `not __fish_seen_subcommand_from ${subcommand.name.split(' ').at(-1)}`);
  return [...seen, ...inner].join('; and ');
}

function operandOf(operand: Operand): string {
  switch (operand.kind) {
    case 'values':
      return ` -x -a ${quoted(operand.values.join(' '))}`;
    case 'file':
      return ' -r -F';
    case 'text':
      return ' -x';
    default:
      return '';
  }
}

const quoted = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`;
