import { processEnd } from '../../base/os/processes.js';
import { connectControl } from '../../control/client.js';
import type { ControlMessage, Live, Result } from '../../control/control-messages.js';

/** What a drill tells the instance that serves to do, over its control socket. */

/** Called while an upgrade runs. */
export interface UpgradeHandlers {
  /** The successor is ready; from here on it may get connections. */
  ready?(): void;
  /** It serves, and is on probation. */
  live?(live: Live): void;
}

/** Resolves when it is decided, that is after the probation. Never rejects once it has been asked for. */
export function requestUpgrade(path: string, handlers: UpgradeHandlers = {}): Promise<Result> {
  const channel = connectControl(path);
  const { pid } = channel.peer;
  const result = new Promise<Result>((resolve) => {
    const text = `pid ${pid}, which served, ended before it was decided`;
    channel.on('close', () => resolve({ type: 'RESULT', ok: false, code: 'ERR_MOTYA_CONNECTION_LOST', text }));
    channel.on('message', (message: ControlMessage) => {
      if (message.type === 'PROGRESS' && message.phase === 'awaiting') handlers.ready?.();
      if (message.type === 'LIVE') handlers.live?.(message);
      if (message.type === 'RESULT') resolve(message);
    });
    channel.open();
    channel.send({ type: 'UPGRADE', dryRun: false, settled: true, allowRemoved: false });
  });
  return result.finally(() => channel.close());
}

/** Resolves when the instance has ended. @throws {NotRunningError} */
export async function requestStop(path: string): Promise<void> {
  const channel = connectControl(path);
  const end = processEnd(channel.peer.pid);
  channel.open();
  channel.send({ type: 'STOP', now: true, once: false });
  await end;
  channel.close();
}
