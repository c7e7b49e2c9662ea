import { yargsOptions } from '../../config/options.js';
import type { Settings } from '../../config/settings.js';
import type { Command } from '../command.js';

interface CheckArguments {
  script?: string | undefined;
  keeper?: boolean;
  supervise?: boolean;
  print: boolean;
  showSecrets: boolean;
}

const command: Command<CheckArguments> = {
  name: 'check',
  summary: 'Check the settings and do nothing else',
  details: [
    'Takes the flags of motya start, and refuses what that would refuse before it runs anything.',
    'Every problem is a line on stderr: file:line:column, the setting, what is wrong.',
  ],
  positionals: { script: { description: 'Program to run', isPath: true } },
  flags: {
    ...yargsOptions(),
    print: {
      alias: 'json',
      type: 'boolean',
      default: false,
      description: 'Print the settings in force, as JSON',
    },
    'show-secrets': {
      type: 'boolean',
      default: false,
      description: 'Print the values of env, and of options of log transports, too',
    },
  },
  takesProgramArguments: true,
  examples: [
    ['motya check', 'is motya.yaml right?'],
    ['motya check --workers 2 server.js', 'would motya start take this?'],
    ['motya check --config new.yaml --print', 'and what does it amount to?'],
  ],
  exits: ['ok', 'usage'],
  async run(flags) {
    const { loadSettings } = await import('../../config/load.js');
    const { typedInvocation } = await import('../../base/os/invocation.js');
    const { checkPrivileges } = await import('../../config/privilege-check.js');
    const { refuseKeeperOfSuccessor } = await import('../../keeper/keeper-choice.js');
    const { cwd } = typedInvocation();
    const settings = loadSettings({ flags: { ...flags }, env: process.env, cwd });
    checkPrivileges(settings);
    if (flags.keeper === true || flags.supervise === true) refuseKeeperOfSuccessor(settings, process.env);
    for (const warning of settings.warnings) console.error(`warning: ${warning}`);
    if (flags.print) {
      console.log(JSON.stringify(flags.showSecrets ? settings : withoutSecrets(settings), null, 2));
      return;
    }
    const subject = shown(settings.source, cwd) ?? flags.script ?? 'the embedded welcome page';
    const services = settings.services.map(({ name, workers }) => `${name} (${count(workers, 'worker')})`);
    console.log(`${subject} is valid: ${count(services.length, 'service')}: ${services.join(', ')}`);
  },
};
export default command;

/** The values of `env`, and of what transports are given, are where passwords are. */
function withoutSecrets(settings: Settings): Settings {
  const services = settings.services.map((service) => {
    return { ...service, env: hiddenIn(service.env) };
  });
  const transports = settings.log.transports.map((transport) => ({
    ...transport,
    options: hiddenIn(transport.options),
  }));
  return { ...settings, services, log: { ...settings.log, transports } };
}

const hiddenIn = (values: object): Record<string, string> =>
  Object.fromEntries(Object.keys(values).map((name) => [name, '(hidden: --show-secrets)']));

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;

function shown(source: string | null, cwd: string): string | null {
  return source?.startsWith(`${cwd}/`) ? source.slice(cwd.length + 1) : source;
}
