import { Channel } from '../channel.js';
import { HandoverError, isSystemError, MotyaError, reasonOf } from '../errors.js';
import { GREETING_MS } from '../limits.js';
import { native } from '../native.js';
import type { Status } from '../observe/status.js';
import { isTrusted } from '../private-socket.js';
import { type ControlMessage, type ControlShapes, controlCodec } from './messages.js';

export type { Status };

export class NotRunningError extends MotyaError {
  constructor(path: string) {
    super('MOTYA_NOT_RUNNING', `no instance answers at ${path}; \`motya start\` starts one`);
  }
}

/** @throws {NotRunningError} nobody listens there; {MotyaError} `MOTYA_PEER`: somebody of another user does. */
export function connectControl(path: string): Channel<ControlShapes> {
  let fd: number;
  try {
    fd = native.connectPath(path);
  } catch (error) {
    if (isSystemError(error) && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED'))
      throw new NotRunningError(path);
    throw new MotyaError('MOTYA_SOCKET', `the control socket ${path} cannot be reached: ${reasonOf(error)}`, {
      cause: error,
    });
  }
  const peer = native.peerCredentials(fd);
  if (isTrusted(peer)) return new Channel(fd, controlCodec);
  native.close(fd);
  throw new MotyaError(
    'MOTYA_PEER',
    `${path} is held by pid ${peer.pid} of user ${peer.uid}, not by an instance of yours`,
  );
}

/** The pid of the instance that answers there, or null. */
export function answersAt(path: string): number | null {
  try {
    const channel = connectControl(path);
    channel.close();
    return channel.peer.pid;
  } catch (error) {
    if (error instanceof NotRunningError) return null;
    throw error;
  }
}

/** @throws {MotyaError} the instance does not answer, or is of a version that tells its status in another way. */
export async function requestStatus(path: string): Promise<Status> {
  const answer = await askStatus(path);
  if (answer.json !== null) return JSON.parse(answer.json) as Status;
  throw new MotyaError(
    'MOTYA_VERSION',
    `pid ${answer.pid} is of an older motya, which tells its status in another way`,
  );
}

/** Does it answer at all, of whichever version it is? @throws {MotyaError} it does not. */
export async function ensureAnswers(path: string): Promise<void> {
  await askStatus(path);
}

/** Null: what the first version answers. */
function askStatus(path: string): Promise<{ pid: number; json: string | null }> {
  const channel = connectControl(path);
  const { pid } = channel.peer;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(`no answer within ${GREETING_MS} ms: is it stopped, or busy?`), GREETING_MS);
    const fail = (why: string): void => {
      clearTimeout(timer);
      channel.close();
      reject(new MotyaError('MOTYA_NO_ANSWER', `pid ${pid} holds ${path} but does not answer: ${why}`));
    };
    const pieces: string[] = [];
    const done = (json: string | null): void => {
      clearTimeout(timer);
      channel.removeAllListeners('close').close();
      resolve({ pid, json });
    };
    channel.on('close', () => fail('it hung up'));
    channel.on('message', (message: ControlMessage) => {
      if (message.type === 'SUMMARY') done(null);
      if (message.type !== 'REPORT') return;
      pieces.push(message.piece);
      if (message.last) done(pieces.join(''));
    });
    channel.open();
    channel.send({ type: 'STATUS' });
  });
}

/** A running instance, watched by the successor that waits for its listeners. */
export interface Watched {
  readonly pid: number;
  readonly generation: number;
  /** Unix paths that it listens on. */
  readonly paths: readonly string[];
  /** Resolves when it has gone: with its reason when it was stopped, with null when it died. Never when it is replaced. */
  readonly gone: Promise<string | null>;
  close(): void;
}

/** @throws {NotRunningError} nothing to take over from; {MotyaError} */
export function watchIncumbent(path: string): Promise<Watched> {
  const channel = connectControl(path);
  // Asked now: a closed channel cannot tell.
  const { pid } = channel.peer;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      channel.close();
      reject(
        new MotyaError(
          'MOTYA_WEDGED',
          `pid ${pid} holds ${path} but does not answer within ${GREETING_MS} ms: is it stopped, or busy?`,
        ),
      );
    }, GREETING_MS);
    const paths: string[] = [];
    let instance: { pid: number; generation: number } | null = null;
    let reason: string | null = null;
    let leave!: (reason: string | null) => void;
    const gone = new Promise<string | null>((done) => {
      leave = done;
    });
    channel.on('close', () => {
      clearTimeout(timer);
      leave(reason);
      reject(reason === null ? new NotRunningError(path) : new HandoverError('MOTYA_INCUMBENT_STOPPED', reason));
    });
    channel.on('message', (message: ControlMessage) => {
      if (message.type === 'GONE') reason = message.text;
      if (message.type === 'INSTANCE') instance = message;
      if (message.type !== 'PATHS') return;
      paths.push(...message.paths);
      if (!message.last || instance === null) return;
      clearTimeout(timer);
      resolve({ ...instance, paths, gone, close: () => channel.removeAllListeners('close').close() });
    });
    channel.open();
    channel.send({ type: 'WATCH', pid: process.pid });
  });
}
