import type { Channel } from '../channel.js';
import type { ControlShapes } from '../control/messages.js';
import type { Command } from './command.js';
import { EXIT } from './exit-status.js';
import { type TargetArguments, targetFlags, targetPositionals } from './target-options.js';

interface StopArguments extends TargetArguments {
  readonly now: boolean;
}

const command: Command<StopArguments> = {
  name: 'stop',
  summary: 'Stop: let open connections finish, then end',
  positionals: targetPositionals,
  flags: {
    ...targetFlags,
    now: { type: 'boolean', default: false, description: 'Close open connections instead of waiting for them' },
  },
  examples: [
    ['motya stop', 'stop the instance that runs'],
    ['motya stop --name shop --now', 'stop this one without waiting for its clients'],
  ],
  exits: ['ok', 'failed', 'usage', 'notRunning', 'noAnswer'],
  async run({ now, ...target }) {
    const { controlSocketFor } = await import('./target.js');
    const { answersAt, connectControl, connectKeeper, requestStatus, RestartingError } = await import(
      '../control/client.js'
    );
    const path = await controlSocketFor(target);
    // One that answers nothing would stop whenever it wakes, with nobody waiting for it any more.
    const asked = await requestStatus(path).catch((error: unknown) => {
      if (error instanceof RestartingError) return null;
      throw error;
    });
    const keeper = asked === null ? connectKeeper(path) : null;
    if (keeper !== null) {
      await stopped(keeper, now);
      console.log(`the keeper (pid ${keeper.peer.pid}) has stopped`);
      return;
    }
    // Between the two questions an instance may have come to serve.
    const { name } = asked ?? (await requestStatus(path));
    const channel = connectControl(path);
    const { pid } = channel.peer;
    await stopped(channel, now);
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

/** The kernel closes the connection when the process has ended: no pid is looked up, none is signalled. */
function stopped(channel: Channel<ControlShapes>, now: boolean): Promise<void> {
  return new Promise((resolve) => {
    channel.on('close', () => resolve());
    channel.open();
    channel.send({ type: 'STOP', now });
  });
}
