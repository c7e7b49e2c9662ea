import type { CommandModule } from 'yargs';
import { EXIT } from './exit-status.js';
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
    const { answersAt, connectControl, requestStatus } = await import('../control/client.js');
    const path = controlSocketFor(target);
    // One that answers nothing would stop whenever it wakes, with nobody waiting for it any more.
    const { name } = await requestStatus(path);
    const channel = connectControl(path);
    const { pid } = channel.peer;
    // The kernel closes the connection when the instance has ended: no pid is looked up, none is signalled.
    await new Promise<void>((resolve) => {
      channel.on('close', () => resolve());
      channel.open();
      channel.send({ type: 'STOP', now });
    });
    const successor = answersAt(path);
    if (successor !== null && successor !== pid) {
      console.error(`motya: pid ${pid} had handed over to pid ${successor} already, which serves; stop that one`);
      process.exitCode = EXIT.failed;
      return;
    }
    console.log(`${name} (pid ${pid}) has stopped`);
  },
};
export default command;
