import { SettingsError } from '../../base/errors.js';
import { yargsOptions } from '../../config/options.js';
import type { Command } from '../command.js';

interface InitSystemdArguments {
  readonly script?: string | undefined;
  readonly output?: string | undefined;
  readonly force: boolean;
  readonly args?: readonly string[];
  readonly [flag: string]: unknown;
}

/** Where systemd looks for what an administrator has written (systemd.unit(5)). */
const UNIT_DIRECTORIES = ['/etc/systemd/system', '/run/systemd/system', '/usr/local/lib/systemd/system'];
/** How an instance is run is the unit's business. */
const NOT_PASSED_ON = ['upgrade', 'daemonize', 'keeper', 'supervise'];
const passedOn = Object.fromEntries(Object.entries(yargsOptions()).filter(([flag]) => !NOT_PASSED_ON.includes(flag)));

const command: Command<InitSystemdArguments> = {
  name: 'systemd',
  summary: 'Write a systemd unit for this directory',
  details: [
    'The unit runs motya.yaml, or a script. It has the flags of motya start that are given here, and the paths, user, times and capabilities of this app and machine; comments say why. MOTYA_* variables of this shell are not in it.',
    'Without --user it runs as a user that systemd makes up (DynamicUser=), or as the owner of the app where a made-up user cannot read it, in a home directory for example.',
  ],
  positionals: { script: { description: 'Program to run; its own arguments follow --', isPath: true } },
  flags: {
    output: { type: 'string', requiresArg: true, isPath: true, description: 'File to write instead of stdout' },
    force: { type: 'boolean', default: false, description: 'Replace a file that is there' },
    ...passedOn,
  },
  takesProgramArguments: true,
  examples: [
    ['motya init systemd --output /etc/systemd/system/shop.service', 'write it where systemd finds it'],
    ['motya init systemd server.js --name shop | less', 'look at it first'],
  ],
  exits: ['ok', 'failed', 'usage'],
  async run({ output, force, ...flags }) {
    const { basename, dirname } = await import('node:path');
    const { typedInvocation } = await import('../../base/os/invocation.js');
    const { unitFacts } = await import('../init/unit-facts.js');
    const { unitFile } = await import('../init/unit-file.js');
    const { outputPath, writeNew } = await import('../init/write-new.js');
    const { oneLine } = await import('../../base/printable.js');

    const facts = unitFacts(flags);
    const path =
      output === undefined ? `/etc/systemd/system/${facts.name}.service` : outputPath(typedInvocation().cwd, output);
    if (!path.endsWith('.service'))
      throw new SettingsError(`--output: ${output} is not the name of a unit: end it with .service`);
    const unit = basename(path, '.service');
    const next = [
      ...(UNIT_DIRECTORIES.includes(dirname(path)) ? [] : [`cp ${path} ${UNIT_DIRECTORIES[0]}/`]),
      'systemctl daemon-reload',
      `systemctl enable --now ${unit}`,
      `systemctl reload ${unit}    # after each deploy: the new version takes over, or the old one serves on`,
    ];
    // A line of its own is no comment any more: what a package.json or a path says must not become a directive.
    const header = [
      ...facts.remarks,
      `${path}, by motya init systemd. Next, as root:`,
      ...next.map((line) => `  ${line}`),
    ].map((line) => `# ${oneLine(line)}`);
    const text = `${header.join('\n')}\n\n${unitFile(facts)}`;
    if (output === undefined) {
      process.stdout.write(text);
      return;
    }
    writeNew(path, text, { force });
    console.log([...facts.remarks, [`${output} is written. Next, as root:`, ...next].join('\n  ')].join('\n'));
  },
};
export default command;
