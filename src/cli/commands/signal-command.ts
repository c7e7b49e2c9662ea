import { PASSABLE } from '../../base/os/signal-names.js';
import type { Command } from '../command.js';
import { EXIT } from '../exit-status.js';
import { type TargetArguments, targetFlags } from '../target-options.js';

interface SignalArguments extends Omit<TargetArguments, 'script'> {
  readonly signal?: string | undefined;
}

const command: Command<SignalArguments> = {
  name: 'signal',
  summary: 'Send a signal to the programs of an instance',
  details: [
    `One of ${PASSABLE.join(', ')}, to the process of each worker. A program that does not handle a signal may be ended by it, and is started again.`,
    'With the setting signals, programs also get the signals that the instance gets (kill -USR2).',
  ],
  positionals: { signal: { description: 'Name of the signal, such as USR2 or SIGUSR2' } },
  flags: targetFlags,
  examples: [['motya signal USR2', 'write a heap snapshot, or whatever the program does then']],
  exits: ['ok', 'failed', 'usage', 'rejected', 'notRunning', 'noAnswer'],
  async run({ signal = '', ...target }) {
    const { SettingsError } = await import('../../base/errors.js');
    const name = signal.toUpperCase().replace(/^SIG/, '');
    if (!(PASSABLE as readonly string[]).includes(name)) {
      const isOurs = ['TERM', 'INT', 'QUIT', 'KILL'].includes(name);
      const remedy = isOurs ? '; motya stop ends the programs, motya upgrade replaces them' : '';
      throw new SettingsError(`signal ${signal}: must be one of ${PASSABLE.join(', ')}${remedy}`);
    }
    const { controlSocketFor } = await import('../target.js');
    const { resultOf } = await import('../result.js');
    const { printFailure } = await import('../failure-line.js');
    const { printable } = await import('../../base/printable.js');
    const result = await resultOf(await controlSocketFor(target), { type: 'SIGNAL', signal: `SIG${name}` });
    if (result.ok) console.log(printable(result.text));
    else printFailure(`not sent: ${printable(result.text)}`, result.code);
    process.exitCode = result.ok ? EXIT.ok : result.code === 'ERR_MOTYA_CONNECTION_LOST' ? EXIT.failed : EXIT.rejected;
  },
};
export default command;
