import { connectControl, ensureAnswers } from '../control/client.js';
import type { ControlMessage, Result } from '../control/control-messages.js';

/** What an instance answers to a request; an instance that hangs up before has not decided. @throws {MotyaError} none answers */
export async function resultOf(path: string, request: ControlMessage): Promise<Result> {
  await ensureAnswers(path);
  const channel = connectControl(path);
  const { pid } = channel.peer;
  const result = await new Promise<Result>((resolve) => {
    const text = `pid ${pid} ended before it was decided`;
    channel.on('close', () => resolve({ type: 'RESULT', ok: false, code: 'ERR_MOTYA_CONNECTION_LOST', text }));
    channel.on('message', (message: ControlMessage) => {
      if (message.type === 'RESULT') resolve(message);
    });
    channel.open();
    channel.send(request);
  });
  channel.close();
  return result;
}
