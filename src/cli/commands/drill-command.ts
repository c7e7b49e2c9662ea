import { upgradeOption, yargsOptions } from '../../config/options.js';
import type { Command } from '../command.js';
import { EXIT } from '../exit-status.js';

/** Most upgrades of one drill: beyond any use, so that a typing error is refused. */
const MOST_DRILLS = 1_000;

interface DrillArguments {
  readonly script?: string | undefined;
  readonly upgrades: string;
  readonly path: string;
  readonly json: boolean;
  readonly [flag: string]: unknown;
}

const { [upgradeOption.flag]: _, ...startFlags } = yargsOptions();

const command: Command<DrillArguments> = {
  name: 'drill',
  summary: 'Upgrade and break a copy of the program under load',
  details: [
    'Runs a copy of the program, as motya start would, on free ports of 127.0.0.1 and with files of its own, beside the instance in production. Several clients send it requests. The drill upgrades it, kills a successor on probation, tries one that throws, and sends the program SIGTERM. A line for each step says what clients saw; hints say where the program itself loses requests.',
    'The copy is real: it uses the databases and services that its settings name. The drill replaces the listeners, files and sockets of the flags by its own.',
    'Requests inside a process that the drill has killed are counted and do not fail it. Every other lost request does.',
  ],
  positionals: { script: { description: 'Node program to drill; its own arguments follow --', isPath: true } },
  flags: {
    ...startFlags,
    upgrades: {
      type: 'string',
      placeholder: 'NUMBER',
      requiresArg: true,
      default: '3',
      description: 'Number of upgrades',
    },
    path: {
      type: 'string',
      requiresArg: true,
      default: '/',
      description: 'Path that the clients GET, beside health.path; a GET of it must change nothing',
    },
    json: { type: 'boolean', default: false, description: 'Print one JSON object a line' },
  },
  takesProgramArguments: true,
  examples: [
    ['motya drill server.js', 'would clients notice an upgrade?'],
    ['motya drill --config motya.yaml --path /healthz --upgrades 10', 'the services of a settings file'],
  ],
  exits: ['ok', 'failed', 'usage'],
  async run({ upgrades: wanted, path, json, ...flags }) {
    const { MotyaError } = await import('../../base/errors.js');
    const { loadSettings } = await import('../../config/load.js');
    const { typedInvocation } = await import('../../base/os/invocation.js');
    const { drill } = await import('../drill/drill.js');
    const { jsonReporter, passed, textReporter } = await import('../drill/report.js');
    const upgrades = await numberOf(wanted);
    await checkPath(path);
    const settings = loadSettings({ flags, env: process.env, cwd: typedInvocation().cwd });
    const report = json ? jsonReporter : textReporter;
    const cancel = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => cancel.abort(new Error(signal)));
    }
    try {
      const result = await drill({ settings, upgrades, path }, report, cancel.signal);
      report.result(result);
      process.exitCode = passed(result) ? EXIT.ok : EXIT.failed;
    } catch (error) {
      if (!cancel.signal.aborted) throw error;
      throw new MotyaError('ERR_MOTYA_INTERRUPTED', 'the drill was interrupted; nothing of it is left');
    }
  },
};
export default command;

async function numberOf(text: string): Promise<number> {
  const { SettingsError } = await import('../../base/errors.js');
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= 1 && number <= MOST_DRILLS) return number;
  throw new SettingsError(`--upgrades: must be a whole number from 1 to ${MOST_DRILLS}, not ${JSON.stringify(text)}`);
}

async function checkPath(path: string): Promise<void> {
  const { SettingsError } = await import('../../base/errors.js');
  // What http.request takes for a path.
  if (/^\/[\x21-\x7e]*$/.test(path)) return;
  throw new SettingsError(
    `--path: must begin with / and have no blanks or other characters that a URL encodes, not ${JSON.stringify(path)}`,
  );
}
