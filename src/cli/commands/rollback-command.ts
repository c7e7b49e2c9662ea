import type { Command } from '../command.js';
import { EXIT } from '../exit-status.js';
import { type TargetArguments, targetFlags, targetPositionals } from '../target-options.js';

const command: Command<TargetArguments> = {
  name: 'rollback',
  summary: 'Undo an upgrade while it is on probation',
  details: [
    'The old instance accepts again and is the main process. The new one finishes the connections it has, and ends. After the probation the old one has let go of its listeners: put the old files or the link back, and upgrade.',
  ],
  positionals: targetPositionals,
  flags: targetFlags,
  examples: [['motya rollback', 'go back to the old version']],
  exits: ['ok', 'failed', 'usage', 'rejected', 'notRunning', 'noAnswer'],
  async run(target) {
    const { controlSocketFor } = await import('../target.js');
    const { resultOf } = await import('../result.js');
    const { printFailure } = await import('../failure-line.js');
    const { printable } = await import('../../base/printable.js');
    const result = await resultOf(await controlSocketFor(target), { type: 'ROLLBACK' });
    if (result.ok) console.log(printable(result.text));
    else printFailure(`not rolled back: ${printable(result.text)}`, result.code);
    process.exitCode = result.ok ? EXIT.ok : result.code === 'ERR_MOTYA_CONNECTION_LOST' ? EXIT.failed : EXIT.rejected;
  },
};
export default command;
