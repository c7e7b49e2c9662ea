import { accessSync, constants, readlinkSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { WEDGED_END_MS } from '../base/deadlines.js';
import { codeOf, detailsOf, MotyaError, reasonOf } from '../base/errors.js';
import type { Invocation } from '../base/os/invocation.js';
import { launch, outcomeError } from '../base/os/launch.js';
import type { PeerCredentials } from '../base/os/native.js';
import { OwnedFds } from '../base/os/owned-fds.js';
import { processEnd, textsIn } from '../base/os/processes.js';
import { isDone } from '../base/timeout.js';
import type { Result } from '../control/control-messages.js';
import { OtherProcess } from '../listeners/copy-from-process.js';

/** What systemd has told the first process of a unit only. */
const FIRST_ONLY = ['LISTEN_FDS', 'LISTEN_PID', 'LISTEN_PIDFDID', 'LISTEN_FDNAMES', 'WATCHDOG_PID', 'MAINPID'];

/**
 * Starts a successor in place of an instance that answers nothing, as that would have started it: the same program, arguments,
 * environment and output. It takes what it needs by force. @throws {MotyaError} the instance is not ours to look into
 */
export async function replaceByForce({ pid, uid }: PeerCredentials): Promise<Result> {
  if (process.geteuid?.() === 0 && uid !== 0) throw foreign(pid, uid);
  const incumbent = new OtherProcess(pid);
  using owned = new OwnedFds();
  const output = [incumbent.copyStream(1), incumbent.copyStream(2)];
  for (const fd of output) if (fd !== null) owned.own(fd);
  try {
    const env = { ...environmentOf(pid), MOTYA_UPGRADE: 'true', MOTYA_FORCE: 'true' };
    const [out, err] = output;
    const launched = launch(invocationOf(pid), { env, output: [out ?? 1, err ?? 2] });
    const outcome = await launched.outcome;
    if (!outcome.ok) throw outcomeError(outcome);
    // Until then its workers accept as well.
    const enough = new AbortController();
    const isEnded = await isDone(WEDGED_END_MS, processEnd(pid, enough.signal));
    enough.abort();
    const end = isEnded ? 'is ended' : 'was killed, but the kernel has not ended it yet';
    const text = `generation ${outcome.generation} (pid ${outcome.pid}) serves; pid ${pid} answered nothing and ${end}`;
    return { type: 'RESULT', ok: true, code: 'LIVE', text, pid: outcome.pid, generation: outcome.generation };
  } catch (error) {
    const details = { cause: codeOf(error), ...detailsOf(error) };
    return { type: 'RESULT', ok: false, code: 'ERR_MOTYA_FORCE_FAILED', text: reasonOf(error), details };
  } finally {
    incumbent.close();
  }
}

/** Its arguments and its environment are in its own memory, where it may have written whatever it wants root to run. */
function foreign(pid: number, uid: number): MotyaError {
  const text = `pid ${pid} is user ${uid}, whose command root does not repeat: start the next one as you have started this one, with --upgrade --force (motya start … --upgrade --force)`;
  return new MotyaError('ERR_MOTYA_FOREIGN_INSTANCE', text, { details: { pid, uid } });
}

/** As base/os/invocation.ts reads its own. */
function invocationOf(pid: number): Invocation {
  const [name = '', ...args] = textsIn(pid, 'cmdline');
  const executable = readlinkSync(`/proc/${pid}/exe`);
  // A Node that was replaced meanwhile has left no file.
  const file = [name, executable].find((path) => isAbsolute(path) && isExecutable(path)) ?? process.execPath;
  return { file, args, cwd: readlinkSync(`/proc/${pid}/cwd`) };
}

function environmentOf(pid: number): NodeJS.ProcessEnv {
  const pairs = textsIn(pid, 'environ').map((line) => {
    const end = line.indexOf('=');
    return [line.slice(0, end), line.slice(end + 1)] as const;
  });
  return Object.fromEntries(pairs.filter(([name]) => !FIRST_ONLY.includes(name)));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
