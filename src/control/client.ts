import { type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { Channel } from '../base/channel.js';
import { ANSWER_MS, GREETING_MS } from '../base/deadlines.js';
import type { ErrorCode } from '../base/error-catalog.js';
import { HandoverError, isSystemError, MotyaError, reasonOf } from '../base/errors.js';
import { lockHolder } from '../base/os/lock-holder.js';
import { native, type PeerCredentials } from '../base/os/native.js';
import { keeperSocketOf } from '../base/os/paths.js';
import { userOfDirectory } from '../base/os/places.js';
import { isTrusted } from '../base/os/private-socket.js';
import { hasOpen } from '../base/os/processes.js';
import { readSmallFile } from '../base/os/small-file.js';
import { printable } from '../base/printable.js';
import { timeout } from '../base/timeout.js';
import type { Status } from '../status/status-document.js';
import { type ControlMessage, type ControlShapes, controlCodec, type Watch } from './control-messages.js';
import { drainersOf } from './drainers.js';

export type { Status };

export class NotRunningError extends MotyaError {
  constructor(path: string, text = `no instance answers at ${path}; \`motya start\` starts one${ofOthers()}`) {
    super('ERR_MOTYA_NOT_RUNNING', text, { details: { path } });
  }
}

/** Only root looks into the directories of other users. */
const ofOthers = (): string =>
  process.geteuid?.() === 0 ? '' : ' (one of another user answers that user and root alone)';

/** An instance that does not answer: it is stopped, or busy for good. */
export class WedgedError extends MotyaError {
  /** As the kernel knows it (SO_PEERCRED). */
  readonly peer: PeerCredentials;

  constructor(peer: PeerCredentials, path: string, code: ErrorCode = 'ERR_MOTYA_WEDGED') {
    const { pid } = peer;
    const keeper = connectKeeper(path);
    keeper?.close();
    const next =
      keeper === null
        ? `\`motya upgrade --force\` replaces it all the same, kill -KILL ${pid} ends it`
        : `kill -KILL ${pid} ends it, and its keeper starts the next one with its listeners`;
    const text = `pid ${pid} holds ${path} but does not answer within ${ANSWER_MS} ms: is it stopped, or busy? ${next}`;
    super(code, text, { details: { pid, path } });
    this.peer = peer;
  }
}

/** No instance answers, but a keeper is about to start one again. */
export class RestartingError extends NotRunningError {}

/** Pid of the process that has locked the file and has it open; null: none, or it cannot be told. */
function holderOf(lock: string): number | null {
  const file = fileAt(lock);
  if (file === null) return null;
  const holder = lockHolder(lock);
  return holder !== null && hasOpen(holder, file) ? holder : null;
}

/** Null: there is none, or it cannot be told: a directory of another user, as the other places are where an instance may be. */
function fileAt(path: string): Stats | null {
  try {
    return statSync(path);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return null;
  }
}

/** The control socket that the instance with the lock of a pidfile has named there; null: it has named none yet. */
const socketNamedIn = (lock: string): string | null => readSmallFile(lock) || null;

/** Where the lock is of an instance whose control socket and pidfile have their default places. */
const lockBeside = (path: string): string => path.replace(/\.control\.sock$/, '.pid.lock');

/**
 * Where an instance answers whose pidfile has its default place: at `path`, its default control socket, or, where the settings name
 * another upgrade socket, beside that one. The process that answers there must have the pidfile's lock: the lock's file is no proof.
 */
export function controlSocketBeside(path: string): string {
  const lock = lockBeside(path);
  const named = socketNamedIn(lock);
  const file = fileAt(lock);
  if (named === null || named === path || file === null) return path;
  try {
    if (answersAt(path) !== null) return path;
    const pid = answersAt(named);
    return pid !== null && (hasOpen(pid, file) || lockHolder(lock) === pid) ? named : path;
  } catch {
    return path;
  }
}

/** An instance has the place, and does not answer yet: its programs start. */
export class StartingError extends NotRunningError {
  readonly pid: number;

  constructor(path: string, pid: number) {
    super(path, `pid ${pid} is starting, and answers once it serves; \`motya stop\` ends it`);
    this.pid = pid;
  }
}

/** @throws {NotRunningError} no process listens there; {MotyaError} `ERR_MOTYA_FOREIGN_PEER`: a process of another user does. */
export function connectControl(path: string): Channel<ControlShapes> {
  let fd: number;
  try {
    fd = native.channel.connect(path);
  } catch (error) {
    if (isSystemError(error) && (error.code === 'ENOENT' || error.code === 'ECONNREFUSED')) throw notRunning(path);
    throw new MotyaError('ERR_MOTYA_SOCKET', `the control socket ${path} cannot be reached: ${reasonOf(error)}`, {
      cause: error,
      details: { path },
    });
  }
  const channel = new Channel(fd, controlCodec);
  const { peer } = channel;
  if (isTrusted(peer) || isOwnDirectory(path, peer)) return channel;
  channel.close();
  throw new MotyaError(
    'ERR_MOTYA_FOREIGN_PEER',
    `${path} is held by pid ${peer.pid} of user ${peer.uid}, not by an instance of yours`,
    { details: { path, pid: peer.pid, uid: peer.uid } },
  );
}

/**
 * Root's commands also speak to an instance that root has started with `user`: its peer is the user whose directory the socket is
 * in. Root has named that directory, or knows it by its name, and only its owner can be that peer. A socket that another user puts
 * there is refused. A directory that is named after another uid than its owner's (/tmp/motya-0) is trusted for no user.
 */
function isOwnDirectory(path: string, peer: PeerCredentials): boolean {
  const directory = dirname(path);
  const named = userOfDirectory(directory) ?? peer.uid;
  if (process.geteuid?.() !== 0 || named !== peer.uid) return false;
  return statSync(directory, { throwIfNoEntry: false })?.uid === peer.uid;
}

/** The keeper of an instance that does not answer just now; null: there is none. */
export function connectKeeper(path: string): Channel<ControlShapes> | null {
  try {
    const fd = native.channel.connect(keeperSocketOf(path));
    const channel = new Channel(fd, controlCodec);
    if (isTrusted(channel.peer) || isOwnDirectory(path, channel.peer)) return channel;
    channel.close();
    return null;
  } catch {
    return null;
  }
}

function notRunning(path: string): NotRunningError {
  const keeper = connectKeeper(path);
  const said = keeper?.receiveSync(({ type }) => type === 'RESULT', GREETING_MS)?.message;
  keeper?.close();
  if (said?.type !== 'RESULT') {
    const drainers = drainersOf(path).map(({ pid }) => pid);
    // The lock of a pidfile beside it, where both have their default places.
    const lock = lockBeside(path);
    const holder = holderOf(lock);
    if (holder !== null && !drainers.includes(holder)) {
      const named = socketNamedIn(lock);
      if (named === null || named === path) return new StartingError(path, holder);
      const socket = named.replace(/\.control\.sock$/, '.sock');
      const text = `pid ${holder} has the pidfile of this name, and another upgrade socket: give --upgrade-socket ${printable(socket)}`;
      return new NotRunningError(path, text);
    }
    if (drainers.length === 0) return new NotRunningError(path);
    const text = `no instance serves at ${path}; what drains still is pid ${drainers.join(', ')}; \`motya stop\` ends it`;
    return new NotRunningError(path, text);
  }
  return new RestartingError(path, `${printable(said.text)}; \`motya stop\` ends it`);
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

/** @throws {MotyaError} the instance does not answer. */
export async function requestStatus(path: string): Promise<Status> {
  return JSON.parse(await askStatus(path), forTerminals) as Status;
}

/** The process that asks may be root, and the one that answers another user's. */
const forTerminals = (_key: string, value: unknown): unknown => (typeof value === 'string' ? printable(value) : value);

/** @throws {MotyaError} the instance does not answer. */
export async function ensureAnswers(path: string): Promise<void> {
  await askStatus(path);
}

/** Resolves with JSON. */
function askStatus(path: string): Promise<string> {
  const channel = connectControl(path);
  const { peer } = channel;
  const { pid } = peer;
  return new Promise((resolve, reject) => {
    const fail = (error: MotyaError): void => {
      inTime();
      channel.close();
      reject(error);
    };
    const inTime = timeout(ANSWER_MS, () => fail(new WedgedError(peer, path, 'ERR_MOTYA_NO_ANSWER')));
    const pieces: string[] = [];
    const hungUp = `pid ${pid} holds ${path} but does not answer: it hung up`;
    channel.on('close', () => fail(new MotyaError('ERR_MOTYA_NO_ANSWER', hungUp)));
    channel.on('message', (message: ControlMessage) => {
      if (message.type !== 'REPORT') return;
      pieces.push(message.piece);
      if (!message.last) return;
      inTime();
      channel.removeAllListeners('close').close();
      resolve(pieces.join(''));
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
  /** Keys of all its listeners, and the names of the services that use them; empty where none does. */
  readonly keys: ReadonlyMap<string, string>;
  /** Resolves when it has gone: with its reason when it was stopped, with null when it died. Never when it is replaced. */
  readonly gone: Promise<HandoverError | null>;
  close(): void;
}

/**
 * `started`: of the successor; null: it is about to be started (control-messages.ts).
 * @throws {NotRunningError} nothing to take over from; {MotyaError}
 */
export function watchIncumbent(path: string, started: Watch['started'] = null): Promise<Watched> {
  const channel = connectControl(path);
  // Asked now: a closed channel cannot tell.
  const { peer } = channel;
  return new Promise((resolve, reject) => {
    const inTime = timeout(ANSWER_MS, () => {
      channel.close();
      reject(new WedgedError(peer, path));
    });
    const paths: string[] = [];
    const keys = new Map<string, string>();
    let instance: { pid: number; generation: number } | null = null;
    let reason: HandoverError | null = null;
    let leave!: (reason: HandoverError | null) => void;
    const gone = new Promise<HandoverError | null>((done) => {
      leave = done;
    });
    channel.on('close', () => {
      inTime();
      leave(reason);
      reject(reason ?? new NotRunningError(path));
    });
    channel.on('message', (message: ControlMessage) => {
      if (message.type === 'GONE') reason = new HandoverError(message.code, message.text);
      if (message.type === 'INSTANCE') instance = message;
      if (message.type !== 'PATHS') return;
      paths.push(...message.paths);
      for (const [index, key] of message.keys.entries()) keys.set(key, message.services[index] ?? '');
      if (!message.last || instance === null) return;
      inTime();
      resolve({ ...instance, paths, keys, gone, close: () => channel.removeAllListeners('close').close() });
    });
    channel.open();
    channel.send({ type: 'WATCH', pid: process.pid, started });
  });
}
