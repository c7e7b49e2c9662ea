import { Channel } from '../base/channel.js';
import { isSystemError } from '../base/errors.js';
import { native } from '../base/os/native.js';
import { Gate } from './accept-gate.js';
import { passOn } from './branch-env.js';
import { watchChildren } from './children.js';
import { isClusterWorker, listenAsClusterWorker, watchForks } from './cluster.js';
import { hookConnect } from './connect-hook.js';
import { Connections } from './connections.js';
import { hookBind } from './dgram-hook.js';
import { Exhaustion } from './exhaustion.js';
import { Adopters } from './handed-over.js';
import { Inspector } from './inspector.js';
import { hookListen } from './listen-hook.js';
import { Ordinals } from './ordinals.js';
import { OutputGuard } from './output-guard.js';
import { offerProcessSend } from './process-send.js';
import { Readiness } from './readiness.js';
import { watchTicketKeys } from './server-ticket-keys.js';
import { guardSpawn } from './spawn-guard.js';
import { ProgramState } from './state-transfer.js';
import { SupervisorLink } from './supervisor-link.js';
import { guardSocketPaths } from './unlink-guard.js';
import { WorkerLife } from './worker-life.js';
import { WORKER_CHANNEL_FD, type WorkerRole, type WorkerShapes, workerCodec } from './worker-messages.js';
import { setWorkerState, type WorkerState } from './worker-state.js';

/** Makes this process a worker, before its program runs; unless another has inherited the role than whom the supervisor started. */
export function startRuntime(role: WorkerRole): void {
  if (!hasChannel()) return;
  // Children of the program must not hold the channel open, or the supervisor would not see the worker's end.
  native.fd.setCloexec(WORKER_CHANNEL_FD);
  const { state, link, readiness } = begin(new Channel(WORKER_CHANNEL_FD, workerCodec), role, { isBranch: false });
  setWorkerState(state);
  offerProcessSend(state.ready);
  guardSocketPaths((path) => link.owns(path));
  watchForks(readiness, (pid, reason) => link.send({ type: 'CHILD_END', pid, reason }));
  passOn(role);
  guardSpawn(role.entry);
}

/**
 * Makes this process, which the program of a worker has started, a part of that worker. It accepts once the supervisor says so.
 * @returns null: there is no supervisor of this user at that name; plain Node, then
 */
export function joinWorker(role: WorkerRole): Joined | null {
  let fd: number;
  try {
    fd = native.channel.connect(`\0${role.branches}`);
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return null;
  }
  const channel = new Channel(fd, workerCodec);
  // A supervisor talks to its own user only; and once it has ended, any user can take the name (unix(7)).
  if (channel.peer.uid !== process.geteuid?.()) {
    channel.close();
    return null;
  }
  const { state, link } = begin(channel, { ...role, held: true }, { isBranch: true });
  listenAsClusterWorker();
  return { state, owns: (path) => link.owns(path) };
}

/** What {@link joinWorker} has made of the process. */
export interface Joined {
  readonly state: WorkerState;
  /** Whether the socket at this path is a listener of some generation. */
  owns(path: string): boolean;
}

function begin(
  channel: Channel<WorkerShapes>,
  role: WorkerRole,
  { isBranch }: { isBranch: boolean },
): { state: WorkerState; link: SupervisorLink; readiness: Readiness } {
  const link = new SupervisorLink(channel);
  const gate = new Gate(!role.held);
  const connections = new Connections();
  const adopters = new Adopters();
  // The primary of a cluster says it for its workers.
  const readiness = new Readiness(role.ready, () => isClusterWorker() || link.send({ type: 'READY' }));
  const ordinals = new Ordinals();
  const programState = new ProgramState(link, role.held);
  const state: WorkerState = {
    service: role.service,
    workerIndex: role.index,
    generation: role.generation,
    ready: () => readiness.signal(),
    drainCallbacks: new Set(),
    onHandover: (give, undo) => programState.onHandover(give, undo),
    inherited: () => programState.inherited(),
    stay: (socket) => connections.keep(socket),
    handOver: (socket, handOver) => connections.handOver(socket, handOver),
    onAdopt: (kind, callback) => adopters.add(kind, callback),
  };

  hookListen({ link, gate, exhaustion: new Exhaustion(gate, link), connections, readiness, ordinals });
  hookConnect({ link, gate });
  hookBind({ link, gate, readiness, ordinals });
  watchTicketKeys();
  process.prependListener('exit', () => {
    gate.ending = true;
  });

  const output = role.tagged ? new OutputGuard() : null;
  const inspector = Inspector.ofThisProcess({ insists: !isBranch || isClusterWorker() });
  watchChildren((pid) => link.send({ type: 'CHILD_DONE', pid }));
  const life = new WorkerLife({ link, gate, connections, adopters, state, programState, inspector });
  channel.on('message', (message, fds) => {
    link.receive(message, fds);
    life.receive(message, fds);
  });
  channel.on('close', () => {
    // First: the program's onDrain callbacks, which the other one calls, may write.
    output?.orphaned();
    life.orphaned();
  });
  channel.open();
  return { state, link, readiness };
}

/** What Node gives to a child on this fd is no SOCK_SEQPACKET: a stream (fork()), or what the child has opened itself. */
function hasChannel(): boolean {
  try {
    return native.listener.describe(WORKER_CHANNEL_FD).type === 'seqpacket';
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return false;
  }
}
