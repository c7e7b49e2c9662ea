import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Channel } from '../base/channel.js';
import { typedInvocation } from '../base/os/invocation.js';
import { native } from '../base/os/native.js';
import { demandFiles, ownFile } from '../base/os/needed-files.js';
import type { ServiceSettings } from '../config/settings.js';
import type { Outputs } from '../logging/outputs.js';
import { WorkerOutput } from '../logging/worker-output.js';
import { type WorkerRole, type WorkerShapes, workerCodec } from '../runtime/worker-messages.js';
import { BranchSocket } from './branches.js';
import { workerEnvironment } from './environment.js';

const PRELOAD = fileURLToPath(new URL('../runtime/preload.cjs', import.meta.url));

/** How a worker is started. */
export type StartedAs = Omit<WorkerRole, 'branches' | 'entry'>;

/** The process of a worker, and what connects the supervisor with it. */
export interface WorkerProcess {
  readonly child: ChildProcess;
  /** Nothing is read from it yet. */
  readonly channel: Channel<WorkerShapes>;
  /** Where processes that its program starts connect to. */
  readonly branchSocket: BranchSocket;
  /** Null: it writes to the supervisor's own stdout and stderr. */
  readonly output: WorkerOutput | null;
}

/**
 * Starts the program of a service. `joined` is called for each process that its program has started and that listens.
 * @throws {SystemError} out of fds or memory; {MotyaError} a file is missing. Nothing is left behind.
 */
export function startWorkerProcess(
  settings: ServiceSettings,
  startedAs: StartedAs,
  outputs: Outputs | null,
  joined: (channel: Channel<WorkerShapes>) => void,
): WorkerProcess {
  const { service, index, generation } = startedAs;
  const output = outputs === null ? null : new WorkerOutput({ service, worker: index, generation }, outputs);
  const undo = [() => output?.handedOver(), () => output?.close()];
  try {
    const preload = ownFile(PRELOAD);
    demandFiles({
      'the working directory': settings.cwd,
      'the executable': process.execPath,
      'a file of motya': preload,
    });
    const branchSocket = new BranchSocket(joined);
    undo.push(() => branchSocket.close());
    const [ours, theirs] = native.channel.pair();
    undo.push(() => native.fd.close(theirs));
    const channel = new Channel(ours, workerCodec);
    undo.push(() => channel.close());
    const role = { ...startedAs, branches: branchSocket.name, entry: typedInvocation().entry };
    const child = spawn(
      process.execPath,
      // Before the program's own: what these listen on is to be handed over, too.
      ['--require', preload, ...settings.nodeArgs, settings.script, ...settings.args],
      {
        cwd: settings.cwd,
        env: workerEnvironment(settings, role, preload, outputs?.form('stdout').coloured ?? false),
        // A session of its own: a terminal's Ctrl-C is the supervisor's business, which drains before it ends workers.
        detached: true,
        stdio: ['ignore', ...(output?.fds ?? (['inherit', 'inherit'] as const)), theirs],
      },
    );
    native.fd.close(theirs);
    output?.handedOver();
    return { child, channel, branchSocket, output };
  } catch (error) {
    for (const step of undo) step();
    throw error;
  }
}
