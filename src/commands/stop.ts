import type { CommandModule } from 'yargs';
import { type TargetArguments, targetOptions } from './target-options.js';

interface StopArguments extends TargetArguments {
  readonly now: boolean;
}

const command: CommandModule<object, StopArguments> = {
  command: 'stop [script]',
  describe: 'Stop the running instance: let open connections finish, then end',
  builder: (yargs) =>
    yargs
      .positional('script', { type: 'string', describe: 'The program that runs, when several instances do' })
      .options(targetOptions)
      .option('now', {
        type: 'boolean',
        default: false,
        describe: 'Close open connections instead of waiting for them',
      }),
  handler: async ({ now, ...target }) => {
    const { controlSocketFor } = await import('./target.js');
    const { connectControl } = await import('../control/client.js');
    const channel = connectControl(controlSocketFor(target));
    const { pid } = channel.peer;
    // The kernel closes the connection when the instance has ended: no pid is looked up, none is signalled.
    await new Promise<void>((resolve) => {
      channel.on('close', () => resolve());
      channel.open();
      channel.send({ type: 'STOP', now });
    });
    console.log(`pid ${pid} has stopped`);
  },
};
export default command;
