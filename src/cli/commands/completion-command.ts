import { SettingsError } from '../../base/errors.js';
import type { Command } from '../command.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** @param commands all, itself among them: asked for when it runs */
export const completionCommand = (
  commands: () => readonly Command[],
): Command<{ readonly shell?: string | undefined }> => ({
  name: 'completion',
  summary: 'Print the completion script for bash, zsh or fish',
  details: [
    'It holds all commands and flags, so that a press of TAB starts no process; print it anew after an update.',
  ],
  positionals: { shell: { description: 'bash, zsh or fish (default: the one in $SHELL)', values: SHELLS } },
  examples: [
    ['source <(motya completion bash)', 'for this shell'],
    ['motya completion bash > ~/.local/share/bash-completion/completions/motya', 'for each new bash'],
    ['motya completion zsh > ~/.zfunc/_motya', 'for zsh, with ~/.zfunc in its fpath'],
    ['motya completion fish > ~/.config/fish/completions/motya.fish', 'for fish'],
  ],
  exits: ['ok', 'usage'],
  async run({ shell = process.env.SHELL?.split('/').at(-1) }) {
    const wanted = SHELLS.find((name) => name === shell);
    if (wanted === undefined) {
      throw new SettingsError(`no completion for ${shell || 'an unknown shell'}: say bash, zsh or fish`);
    }
    const { commandTrees } = await import('../completion/command-tree.js');
    process.stdout.write((await scripts[wanted]())(commandTrees(commands())));
  },
});

const scripts = {
  bash: async () => (await import('../completion/bash.js')).bashScript,
  zsh: async () => (await import('../completion/zsh.js')).zshScript,
  fish: async () => (await import('../completion/fish.js')).fishScript,
} as const;
