import { type CommandTree, flattened, type Operand } from './command-tree.js';

/** For zsh's completion system (compinit). */
export function zshScript(commands: readonly CommandTree[]): string {
  const all = flattened(commands);
  return `#compdef motya
# Completion of motya for zsh. Install it once, in a directory of $fpath:
#   motya completion zsh > ~/.zfunc/_motya
# with this in ~/.zshrc:
#   fpath=(~/.zfunc $fpath); autoload -Uz compinit; compinit
_motya() {
  local curcontext=$curcontext state line name
  typeset -A opt_args
  _arguments -C '--help[Show help]' '--version[Show version number]' '1:command:->command' '*::argument:->argument'
  case $state in
    command)
      local -a commands=(
${commands.map(({ name, summary }) => `        ${quoted(`${name}:${summary}`)}`).join('\n')}
      )
      _describe command commands
      ;;
    argument)
      name=$words[1]
${all
  .filter(({ name }) => name.includes(' '))
  .map(subcommandStep)
  .join('\n')}
      case $name in
${all.map((command) => `        ${quoted(command.name)}) ${argumentsOf(command)} ;;`).join('\n')}
      esac
      ;;
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _motya "$@"
else
  compdef _motya motya
fi
`;
}

function subcommandStep({ name }: CommandTree): string {
  const [parent, inner] = name.split(' ');
  return `      if [[ $name == ${parent} && CURRENT -gt 2 && $words[2] == ${inner} ]]; then
        name='${name}'
        shift words
        ((CURRENT--))
      fi`;
}

function argumentsOf({ flags, operand, subcommands }: CommandTree): string {
  const specs = flags.map(({ word, description, operand: value }) => {
    const text = `[${description.replace(/[[\]\\]/g, '\\$&')}]`;
    return value.kind === 'none' ? `${word}${text}` : `${word}=${text}:${word.slice(2)}:${action(value)}`;
  });
  const names = subcommands.map(({ name, summary }) => `${name.split(' ').at(-1)}\\:${summary.replaceAll(' ', '\\ ')}`);
  const first =
    names.length === 0
      ? `1: :${action(operand)}`
      : `1: : _alternative "commands:command:((${names.join(' ')}))" "arguments:argument:${action(operand)}"`;
  return ['_arguments', ...specs.map(quoted), quoted(first), "'*: :_files'"].join(' \\\n            ');
}

function action(operand: Operand): string {
  switch (operand.kind) {
    case 'values':
      return `(${operand.values.join(' ')})`;
    case 'file':
      return '_files';
    default:
      return ' ';
  }
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
