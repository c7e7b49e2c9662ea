import type { CommandModule } from 'yargs';
import { configOption, yargsOptions } from '../config/options.js';
import { SettingsError } from '../errors.js';
import { EXIT } from './exit-status.js';

interface CheckArguments {
  script?: string | undefined;
  print: boolean;
}

const command: CommandModule<object, CheckArguments> = {
  command: 'check [script]',
  describe: 'Check the settings and do nothing else',
  builder: (yargs) =>
    yargs
      .positional('script', { type: 'string', describe: 'Program to run' })
      .options(yargsOptions([configOption.flag]))
      .option('print', {
        alias: 'json',
        type: 'boolean',
        default: false,
        describe: 'Print the settings in force, as JSON',
      }),
  handler: async (flags) => {
    const { loadSettings } = await import('../config/load.js');
    const { typedInvocation } = await import('../daemon/invocation.js');
    const { cwd } = typedInvocation();
    try {
      const settings = loadSettings({ flags: { ...flags }, env: process.env, cwd });
      for (const warning of settings.warnings) console.error(`warning: ${warning}`);
      if (flags.print) {
        console.log(JSON.stringify(settings, null, 2));
        return;
      }
      const subject = shown(settings.source, cwd) ?? flags.script ?? 'the embedded welcome page';
      const services = settings.services.map(({ name, workers }) => `${name} (${count(workers, 'worker')})`);
      console.log(`${subject} is valid: ${count(services.length, 'service')}: ${services.join(', ')}`);
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      console.error(error.message);
      process.exitCode = EXIT.usage;
    }
  },
};
export default command;

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;

function shown(source: string | null, cwd: string): string | null {
  return source?.startsWith(`${cwd}/`) ? source.slice(cwd.length + 1) : source;
}
