import { type CommandTree, flattened, type Operand } from './command-tree.js';

/** For bash 4 and later; it needs nothing else of bash-completion than the directory that it may lie in. */
export function bashScript(commands: readonly CommandTree[]): string {
  const all = flattened(commands);
  const operands = new Map(all.flatMap(({ flags }) => flags.map(({ word, operand }) => [word, operand] as const)));
  return `# Completion of motya for bash. Install it once:
#   motya completion bash > ~/.local/share/bash-completion/completions/motya
# or for this shell only:
#   source <(motya completion bash)
_motya() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command='' word
  COMPREPLY=()
  # bash makes words of --flag=value: the flag, "=", the value.
  if [[ $cur == = ]]; then
    cur=''
  elif [[ $prev == = ]]; then
    prev=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ $word == -- ]]; then
      compopt -o default
      return
    fi
    case "$command/$word" in
${all.map(({ name }) => `      '${name.split(' ').slice(0, -1).join(' ')}/${name.split(' ').at(-1)}') command='${name}' ;;`).join('\n')}
    esac
  done
  case $prev in
${[...operands].flatMap(([word, operand]) => (operand.kind === 'none' ? [] : [`    ${word}) ${reply(operand)}; return ;;`])).join('\n')}
  esac
  case "$command/$cur" in
    /*) ${reply({ kind: 'values', values: [...commands.map(({ name }) => name), '--help', '--version'] })} ;;
${all.map(({ name, flags }) => `    '${name}'/-*) ${reply({ kind: 'values', values: flags.map(({ word }) => word) })} ;;`).join('\n')}
${all.map((command) => `    '${command.name}'/*) ${positional(command)} ;;`).join('\n')}
  esac
}
complete -F _motya motya
`;
}

function reply(operand: Operand): string {
  switch (operand.kind) {
    case 'values':
      return `COMPREPLY=($(compgen -W '${operand.values.join(' ')}' -- "$cur"))`;
    case 'file':
      // Readline's own: it knows about blanks and directories.
      return 'compopt -o default';
    default:
      return ':';
  }
}

function positional({ operand, subcommands }: CommandTree): string {
  const names = subcommands.map(({ name }) => name.split(' ').at(-1) ?? '');
  if (names.length === 0) return reply(operand);
  return `${reply({ kind: 'values', values: names })}; ${reply(operand)}`;
}
