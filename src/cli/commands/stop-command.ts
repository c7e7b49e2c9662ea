import { setTimeout as delay } from 'node:timers/promises';
import type { Channel } from '../../base/channel.js';
import { SOCKET_REMADE_MS } from '../../base/deadlines.js';
import type { Status } from '../../control/client.js';
import type { ControlShapes } from '../../control/control-messages.js';
import type { Command } from '../command.js';
import { type TargetArguments, targetFlags, targetPositionals } from '../target-options.js';

interface StopArguments extends TargetArguments {
  readonly now: boolean;
}

const command: Command<StopArguments> = {
  name: 'stop',
  summary: 'Stop: let open connections finish, then end',
  details: [
    'Ends all generations and returns when all have ended. Generations that still drain after an upgrade get 5 s, or less where their drainTimeout is over sooner; below a service manager they get their whole drainTimeout. If the main process has died, the generations that drain are ended.',
  ],
  positionals: targetPositionals,
  flags: {
    ...targetFlags,
    now: { type: 'boolean', default: false, description: 'Close open connections instead of waiting for them' },
  },
  examples: [
    ['motya stop', 'stop the instance that runs'],
    ['motya stop --name shop --now', 'stop this instance without waiting for its clients'],
  ],
  exits: ['ok', 'failed', 'usage', 'notRunning', 'noAnswer'],
  async run({ now, ...target }) {
    const { controlSocketFor } = await import('../target.js');
    const { answersAt, connectControl, connectKeeper, NotRunningError, requestStatus, RestartingError, StartingError } =
      await import('../../control/client.js');
    const { OtherGenerations } = await import('../other-generations.js');
    const path = await controlSocketFor(target);
    const others = new OtherGenerations(path);
    await others.look();
    const asked = await answer(path, others.size > 0).catch((error: unknown) => {
      // Its main process has died, so no process ends the generations that drain.
      if (error instanceof NotRunningError && (error instanceof RestartingError || others.size > 0)) return null;
      if (error instanceof StartingError) return error;
      throw error;
    });
    if (asked instanceof StartingError) {
      await endStarting(asked.pid);
      return;
    }
    const keeper = asked === null ? connectKeeper(path) : null;
    if (keeper !== null) {
      await stopped(keeper, now);
      console.log(`the keeper (pid ${keeper.peer.pid}) has stopped`);
    } else if (asked !== null || others.size === 0) {
      // Between the two questions an instance may have come to serve.
      const { name } = asked ?? (await requestStatus(path));
      const channel = connectControl(path);
      const { pid } = channel.peer;
      await stopped(channel, now);
      const successor = answersAt(path);
      if (successor !== null && successor !== pid) {
        const { MotyaError } = await import('../../base/errors.js');
        const text = `pid ${pid} had handed over to pid ${successor} already, which serves; stop that one`;
        throw new MotyaError('ERR_MOTYA_REPLACED', text, { details: { pid, serving: successor } });
      }
      console.log(`${name} (pid ${pid}) has stopped`);
      // One that was on probation beside it has begun to drain since.
      await others.look();
    }
    // The keeper has told all of them, the main process those that it knew of.
    if (keeper === null) others.end({ now, told: asked?.draining.map(({ pid }) => pid) ?? [] });
    for (const line of await others.ended(asked?.draining ?? [])) console.log(line);
  },
};
export default command;

/** An instance that does not answer would stop only when it wakes, long after this command. `lives`: other generations serve. */
async function answer(path: string, lives: boolean): Promise<Status> {
  const { NotRunningError, requestStatus, StartingError } = await import('../../control/client.js');
  try {
    return await requestStatus(path);
  } catch (error) {
    if (!(error instanceof StartingError) && !(lives && error instanceof NotRunningError)) throw error;
    // Or its directory was removed, and it makes its socket anew.
    await delay(SOCKET_REMADE_MS);
    return requestStatus(path);
  }
}

/** It hears no command yet; the signal means the same. */
async function endStarting(pid: number): Promise<void> {
  const { processEnd } = await import('../../base/os/processes.js');
  const ended = processEnd(pid);
  process.kill(pid, 'SIGTERM');
  await ended;
  console.log(`pid ${pid}, which was starting, has stopped`);
}

async function stopped(channel: Channel<ControlShapes>, now: boolean): Promise<void> {
  const { endOf } = await import('../other-generations.js');
  const ended = endOf(channel);
  channel.send({ type: 'STOP', now, once: false });
  await ended;
}
