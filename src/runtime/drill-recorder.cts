import type { Socket } from 'node:dgram';
import type { EventEmitter } from 'node:events';
import type { Server } from 'node:net';

/**
 * Loaded by Motya's preload into the program of a drill, before the runtime. It records the places where the program does what can lose
 * requests. It refuses real addresses to servers that Motya does not handle. Child processes and threads of the program load it, too.
 * CommonJS for the reason of preload.cts.
 */
const { appendFileSync } = require('node:fs') as typeof import('node:fs');
const { syncBuiltinESMExports } = require('node:module') as typeof import('node:module');
const net = require('node:net') as typeof import('node:net');
const dgram = require('node:dgram') as typeof import('node:dgram');
const { join } = require('node:path') as typeof import('node:path');

type Method = (this: unknown, ...args: unknown[]) => unknown;

interface BindOptions {
  readonly port?: unknown;
  readonly fd?: unknown;
  readonly exclusive?: unknown;
  readonly recvStart?: unknown;
}

const directory = process.env.MOTYA_SANDBOX?.replace(/^\d+:/, '');
const OURS = join(__dirname, '..');
/** Motya's preload, which takes the variable away after this, makes this process a worker. */
const isWorker = process.env.MOTYA_WORKER !== undefined;
/** A child of the program that asks Motya for what it listens on (runtime/branch.ts). */
const isBranch =
  process.env.MOTYA_BRANCH_OF !== undefined &&
  (require('node:worker_threads') as typeof import('node:worker_threads')).isMainThread;
let terminated = false;

if (directory !== undefined) {
  passOn();
  if (isWorker) {
    tellOfExit(directory);
    tellOfClose(directory);
  }
  keepFromRealPorts();
  syncBuiltinESMExports();
}

/** Only fork() and threads inherit execArgv. In quotes as NODE_OPTIONS wants them: a backslash counts only within (node(1)). */
function passOn(): void {
  const option = `--require "${__filename.replace(/["\\]/g, '\\$&')}"`;
  const options = process.env.NODE_OPTIONS ?? '';
  if (!options.includes(option)) process.env.NODE_OPTIONS = `${options} ${option}`.trim();
}

function note(into: string, what: 'exit' | 'close', place: string): void {
  try {
    appendFileSync(
      join(into, 'program-calls'),
      `${JSON.stringify({ pid: process.pid, what, place, afterSigterm: terminated })}\n`,
    );
  } catch {
    // The drill is over.
  }
}

/** The program's line that has called our caller, such as `/srv/server.js:12`; null: it was Node, or Motya. */
function caller(): string | null {
  const places = (new Error().stack ?? '').split('\n').flatMap((line) => {
    const place = /[( ](?:file:\/\/)?(\/[^()]*:\d+):\d+\)?$/.exec(line)?.[1];
    return place === undefined || place.startsWith(__filename) ? [] : [place];
  });
  return places[0] === undefined || places[0].startsWith(`${OURS}/`) ? null : places[0];
}

function tellOfExit(into: string): void {
  const mark = (): void => {
    terminated = true;
  };
  // Only beside a listener of the program: alone, ours would take the signal's default action away.
  process.on('newListener', (name, listener) => {
    if (name !== 'SIGTERM' || listener === mark || process.listeners('SIGTERM').includes(mark)) return;
    process.prependListener('SIGTERM', mark);
  });
  process.on('removeListener', (name) => {
    const [only, ...others] = process.listeners('SIGTERM');
    if (name === 'SIGTERM' && only === mark && others.length === 0) process.off('SIGTERM', mark);
  });
  const exit = process.exit as Method;
  process.exit = ((code) => {
    const place = caller();
    if (place !== null) note(into, 'exit', place);
    return exit.call(process, code);
  }) as typeof process.exit;
}

function tellOfClose(into: string): void {
  const { close } = net.Server.prototype;
  net.Server.prototype.close = function (this: Server, callback) {
    const place = this.listening ? caller() : null;
    if (place !== null) note(into, 'close', place);
    return close.call(this, callback);
  };
}

/** `exclusive` and `reusePort`: Motya leaves them alone, so they would bind what the program in production has. */
function keepFromRealPorts(): void {
  const servers = net.Server.prototype as unknown as { _listen2: Method };
  const listen2 = servers._listen2;
  servers._listen2 = function (this: unknown, ...args) {
    const [address, port, , , fd] = args;
    const server = this as Server & { _handle: unknown };
    const isReal = server._handle === null && typeof fd !== 'number' && typeof port === 'number' && port !== 0;
    if (!isReal) return listen2.apply(this, args);
    return refuse(server, 'listen', port > 0 ? `${address ?? '::'}:${port}` : String(address));
  };

  const sockets = dgram.Socket.prototype as unknown as { bind: Method };
  const { bind } = sockets;
  sockets.bind = function (this: unknown, ...args) {
    const [first, ...rest] = args;
    const options = (typeof first === 'object' && first !== null ? first : { port: first }) as BindOptions;
    // `bind(callback)` means port 0.
    const port = typeof options.port === 'function' ? 0 : Number(options.port) || 0;
    // A handle that has come from the parent is bound; what it has as `fd` is nothing to open.
    const fd = typeof options.fd === 'number' && typeof options.recvStart !== 'function' ? options.fd : null;
    if (isWorker || isBranch)
      return bind.apply(this, options.exclusive && port !== 0 ? [{ ...options, port: 0 }, ...rest] : args);
    if (port === 0 && fd === null) return bind.apply(this, args);
    refuse(this as Socket, 'bind', fd === null ? `UDP port ${port}` : `fd ${fd}`);
    return this;
  };
  const createSocket = dgram.createSocket as Method;
  Object.assign(dgram, {
    createSocket: (type: unknown, ...rest: unknown[]) => {
      const own = typeof type === 'object' && type !== null ? { ...type, reusePort: false } : type;
      return createSocket.call(dgram, own, ...rest);
    },
  });
}

function refuse(socket: EventEmitter, syscall: 'listen' | 'bind', where: string): void {
  const why = '(exclusive, reusePort, or in a process of its own): no upgrade could take it over';
  const text = `${syscall} EADDRINUSE: the program binds ${where} past Motya ${why}, and a drill binds no real address`;
  const error = Object.assign(new Error(text), { code: 'EADDRINUSE', syscall });
  // The frames are Node's, and only the end of what a program says at its end is kept.
  error.stack = `Error: ${text}`;
  process.nextTick(socket.emit.bind(socket), 'error', error);
}
