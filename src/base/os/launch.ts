import { openSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { FailureCode } from '../error-catalog.js';
import { type Details, HandoverError, StartError } from '../errors.js';
import type { Activated } from './activation.js';
import type { Invocation } from './invocation.js';
import { type NativePoll, native } from './native.js';
import { demandFiles } from './needed-files.js';
import { OwnedFds } from './owned-fds.js';

/**
 * Starting an instance that has no parent of ours (a daemon, or an incumbent's own successor), and learning how it went: the
 * instance says one line of JSON on a pipe once it serves or has failed; an end without a line is a death.
 */

/** Environment variable that names the pipe's fd in the launched instance. */
const REPORT_ENV = 'MOTYA_READY_FD';
/** Set in an instance that is to end when its launcher goes without having got its report: see {@link onLauncherGone}. */
const ATTENDED_ENV = 'MOTYA_ATTENDED';

export type Outcome =
  | { readonly ok: true; readonly pid: number; readonly generation: number }
  | { readonly ok: false; readonly code: FailureCode; readonly text: string; readonly details?: Details | undefined };

export interface Launched {
  readonly pid: number;
  /** Never rejects. */
  readonly outcome: Promise<Outcome>;
  /** Closes the pipe: an `attended` instance that has not reported gives up. The outcome is `ERR_MOTYA_INSTANCE_DIED` then. */
  hangUp(): void;
}

/**
 * `output`: the fd that becomes stdout and stderr, one for each, or 'inherit'. `passed`: sockets for it, as a service manager passes them
 * (sd_listen_fds(3)). `attended`: it is to give up when this process goes before it has reported. @throws {StartError} when it
 * cannot even be executed.
 */
export function launch(
  invocation: Invocation,
  options: {
    env: NodeJS.ProcessEnv;
    output: number | readonly [number, number] | 'inherit';
    umask?: number;
    passed?: readonly Activated[];
    attended?: boolean;
  },
): Launched {
  const { entry, ...program } = invocation;
  demandFiles({
    'the working directory': program.cwd,
    'the executable': program.file,
    ...(entry === undefined ? {} : { 'the script that Node runs': entry }),
  });
  const passed = options.passed ?? [];
  using owned = new OwnedFds();
  const stdin = owned.own(openSync('/dev/null', 'r'));
  const [reader, writer] = native.fd.pipe();
  for (const fd of [reader, writer]) owned.own(fd);
  try {
    const { output } = options;
    const [out, err] = output === 'inherit' ? [1, 2] : typeof output === 'number' ? [output, output] : output;
    const fds = [stdin, out, err, ...passed.map(({ fd }) => fd)];
    const env = {
      ...options.env,
      ...passedEnvironment(passed),
      [REPORT_ENV]: String(fds.length),
      ...(options.attended === true ? { [ATTENDED_ENV]: '1' } : {}),
    };
    const pid = native.process.launch({
      ...program,
      args: [...program.args],
      env: Object.entries(env).map(([name, value]) => `${name}=${value ?? ''}`),
      fds: [...fds, writer],
      ...(passed.length === 0 ? {} : { pidVariable: 'LISTEN_PID' }),
      ...(options.umask === undefined ? {} : { umask: options.umask }),
    });
    const outcome = readOutcome(reader, pid);
    owned.release(reader);
    return { pid, ...outcome };
  } catch (error) {
    throw new StartError('ERR_MOTYA_LAUNCH', `${invocation.file} cannot be started: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

const passedEnvironment = (passed: readonly Activated[]): NodeJS.ProcessEnv =>
  passed.length === 0
    ? {}
    : { LISTEN_FDS: String(passed.length), LISTEN_FDNAMES: passed.map(({ name }) => name).join(':') };

function readOutcome(fd: number, pid: number): Pick<Launched, 'outcome' | 'hangUp'> {
  const pipe = new Socket({ fd, readable: true, writable: false });
  const outcome = new Promise<Outcome>((resolve) => {
    let line = '';
    pipe.setEncoding('utf8');
    pipe.on('data', (chunk: string) => {
      line += chunk;
    });
    pipe.on('error', () => {});
    pipe.on('close', () => {
      try {
        resolve(JSON.parse(line) as Outcome);
      } catch {
        resolve({
          ok: false,
          code: 'ERR_MOTYA_INSTANCE_DIED',
          text: `the instance (pid ${pid}) ended without a word; its output says more`,
        });
      }
    });
  });
  return { outcome, hangUp: () => pipe.destroy() };
}

/** True in an instance that was started by {@link launch}. */
export function isLaunched(): boolean {
  return process.env[REPORT_ENV] !== undefined;
}

let reportFd: number | null = null;
/** While the launcher is looked for: see {@link onLauncherGone}. */
let launcher: NativePoll | null = null;
let isAttended = false;

/** First thing in an instance: keeps the pipe from its children. */
export function takeReportPipe(): void {
  const value = process.env[REPORT_ENV];
  if (value === undefined) return;
  delete process.env[REPORT_ENV];
  isAttended = process.env[ATTENDED_ENV] !== undefined;
  delete process.env[ATTENDED_ENV];
  reportFd = Number(value);
  native.fd.setCloexec(reportFd);
}

/**
 * Calls back, once, when the launcher of an `attended` instance has gone before the report: it was told to give up (Ctrl-C), or it
 * was killed. The kernel tells it at the pipe, also when it happened before this call.
 */
export function onLauncherGone(gone: () => void): void {
  if (reportFd === null || !isAttended) return;
  // Nothing can be read from this end: only the loss of the other one (EPOLLERR) wakes it.
  launcher = native.poll.create(reportFd, () => {
    stopLooking();
    gone();
  });
  launcher.watch(1);
  launcher.unref();
}

function stopLooking(): void {
  launcher?.close();
  launcher = null;
}

/** Reports to the launcher of this instance, if it has one. Only the first report counts. */
export function report(outcome: Outcome): void {
  if (reportFd === null) return;
  stopLooking();
  const fd = reportFd;
  reportFd = null;
  try {
    writeSync(fd, `${JSON.stringify(outcome)}\n`);
  } catch {
    // EPIPE: a launcher that has gone needs no report.
  }
  native.fd.close(fd);
}

/** The error that an outcome stands for. */
export function outcomeError(outcome: Extract<Outcome, { ok: false }>): HandoverError {
  return new HandoverError(outcome.code, outcome.text, { details: outcome.details });
}
