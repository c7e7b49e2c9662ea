import type { Command } from '../command.js';
import systemd from './init-systemd-command.js';

interface InitArguments {
  readonly script?: string | undefined;
  readonly args?: readonly string[];
  readonly output?: string | undefined;
  readonly force: boolean;
}

const command: Command<InitArguments> = {
  name: 'init',
  summary: 'Write a motya.yaml for this directory',
  details: [
    'The settings run the script, or what the start script of package.json runs: through npm run, cross-env, tsx, programs of node_modules/.bin and the like, with variables, options of node and arguments. The command says what it has taken and from where. A start script that needs a shell is refused, and nothing is written. Without a start script it takes server.js, the main file, index.js, app.js or main.js.',
    'The file has all other settings as comments, with their defaults.',
  ],
  positionals: {
    script: {
      description: 'Program to run: a file, or a name of node_modules/.bin; its own arguments follow --',
      isPath: true,
    },
  },
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
  takesProgramArguments: true,
  examples: [
    ['motya init', 'settings for the program in this directory'],
    ['motya init next -- start -p 3000', 'settings for the program that is named'],
    ['motya init systemd --output /etc/systemd/system/shop.service', 'the unit to run it with'],
  ],
  exits: ['ok', 'failed', 'usage'],
  subcommands: [systemd],
  async run({ script, args, output, force }) {
    const { dirname, isAbsolute, relative } = await import('node:path');
    const { fileURLToPath } = await import('node:url');
    const { loadSettings } = await import('../../config/load.js');
    const { absolutePath } = await import('../../config/resolve-path.js');
    const { typedInvocation } = await import('../../base/os/invocation.js');
    const { guessProgram, namedProgram, nameOf } = await import('../init/guess.js');
    const { typedCommand } = await import('../init/program.js');
    const { settingsFile } = await import('../init/settings-file.js');
    const { outputPath, writeNew } = await import('../init/write-new.js');

    const { cwd } = typedInvocation();
    const shown = output ?? 'motya.yaml';
    const path = outputPath(cwd, shown);
    const directory = dirname(path);
    const guess = script === undefined ? guessProgram(cwd) : namedProgram(cwd, script, args);
    const { program: found, origin, notes } = guess;
    // A script that could not be run must not get into a file that says it could.
    loadSettings({ flags: { script: found.script }, env: {}, cwd });
    const at = absolutePath(cwd, found.script);
    const program = {
      ...found,
      script: origin !== null && isAbsolute(found.script) ? at : relative(directory, at),
      cwd: relative(directory, absolutePath(cwd, found.cwd)),
    };
    const schema = relative(directory, fileURLToPath(new URL('../../../schema/motya.schema.json', import.meta.url)));
    const isInside = schema.startsWith('node_modules/');
    writeNew(path, settingsFile(nameOf(cwd), program, isInside ? `./${schema}` : null), { force });
    const what = `${shown} runs ${typedCommand(program)}`;
    console.log([origin === null ? what : `${what}: ${origin}`, ...notes].join('\n'));
    console.log('next: motya check, then motya start');
  },
};
export default command;
