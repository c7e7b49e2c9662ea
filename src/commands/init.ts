import type { Command } from './command.js';
import systemd from './init-systemd.js';

interface InitArguments {
  readonly script?: string | undefined;
  readonly output?: string | undefined;
  readonly force: boolean;
}

const command: Command<InitArguments> = {
  name: 'init',
  summary: 'Write a motya.yaml for the program in this folder',
  details: [
    'Runs the script, or what package.json starts, its main, server.js, index.js or app.js. All other settings are in the file as comments, with their defaults.',
  ],
  positionals: { script: { description: 'Program to run', isPath: true } },
  flags: {
    output: {
      type: 'string',
      requiresArg: true,
      isPath: true,
      description: 'File to write',
      defaultDescription: 'motya.yaml',
    },
    force: { type: 'boolean', default: false, description: 'Replace a file that is there' },
  },
  examples: [
    ['motya init', 'settings for the program in this folder'],
    ['motya init systemd --output /etc/systemd/system/shop.service', 'the unit to run it with'],
  ],
  exits: ['ok', 'failed', 'usage'],
  subcommands: [systemd],
  async run({ script, output, force }) {
    const { dirname, relative, resolve } = await import('node:path');
    const { fileURLToPath } = await import('node:url');
    const { loadSettings } = await import('../config/load.js');
    const { typedInvocation } = await import('../daemon/invocation.js');
    const { guessProgram, nameOf } = await import('../init/guess.js');
    const { settingsFile } = await import('../init/settings-file.js');
    const { outputPath, writeNew } = await import('../init/write-new.js');

    const { cwd } = typedInvocation();
    const shown = output ?? 'motya.yaml';
    const path = outputPath(cwd, shown);
    const folder = dirname(path);
    const found = script === undefined ? guessProgram(cwd) : { script, args: [], nodeArgs: [] };
    // A script that could not be run must not get into a file that says it could.
    loadSettings({ flags: { script: found.script }, env: {}, cwd });
    const program = { ...found, script: relative(folder, resolve(cwd, found.script)) };
    const schema = relative(folder, fileURLToPath(new URL('../../schema/motya.schema.json', import.meta.url)));
    const isInside = schema.startsWith('node_modules/');
    writeNew(path, settingsFile(nameOf(cwd), program, isInside ? `./${schema}` : null), { force });
    console.log(`${shown} runs ${program.script}; next: motya check, then motya start`);
  },
};
export default command;
