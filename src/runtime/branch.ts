import cluster from 'node:cluster';
import dgram from 'node:dgram';
import { realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Joined } from './install.js';
import { guardSpawn } from './spawn-guard.js';
import { guardSocketPaths } from './unlink-guard.js';
import type { WorkerRole } from './worker-messages.js';
import { setWorkerState, type WorkerState } from './worker-state.js';

type Call = (this: unknown, ...args: unknown[]) => unknown;

const require = createRequire(import.meta.url);
const COMMAND = fileURLToPath(new URL('../motya.cjs', import.meta.url));

/** Makes this process a part of the worker whose program has started it, as soon as it listens or asks for `motya/worker`. */
export function offerBranch(role: WorkerRole): void {
  if (isMotya()) return;
  guardSpawn(role.entry);
  let joined: Joined | null | undefined;
  const join = (): Joined | null => {
    // Loaded late: it costs some 50 ms, and most children of a program never listen.
    joined ??= (require('./install.cjs') as typeof import('./install.js')).joinWorker(role);
    return joined;
  };
  setWorkerState(stateOf(role, () => join()?.state));
  guardSocketPaths((path) => join()?.owns(path) ?? false);
  // A worker of a cluster does listen.
  if (cluster.isWorker) join();
  else joinAtFirstCall(join);
}

/** Another instance, which a program starts, is no part of this one. */
function isMotya(): boolean {
  try {
    return realpathSync(process.argv[1] ?? '') === COMMAND;
  } catch {
    return false;
  }
}

const LISTENING = [
  [net.Server.prototype, 'listen'],
  [dgram.Socket.prototype, 'bind'],
] as const;

/** The call then goes on with what the runtime has put there. */
function joinAtFirstCall(join: () => unknown): void {
  let isJoined = false;
  for (const [prototype, name] of LISTENING) {
    const methods = prototype as unknown as Record<string, Call>;
    const original = methods[name] as Call;
    methods[name] = function (this: unknown, ...args: unknown[]) {
      if (isJoined) return Reflect.apply(original, this, args);
      isJoined = true;
      join();
      return Reflect.apply(methods[name] as Call, this, args);
    };
  }
}

/** What `motya/worker` sees before it has joined. */
function stateOf({ service, index, generation }: WorkerRole, joined: () => WorkerState | undefined): WorkerState {
  const alone = new Set<never>();
  return {
    service,
    workerIndex: index,
    generation,
    ready: () => joined()?.ready(),
    get drainCallbacks() {
      return joined()?.drainCallbacks ?? alone;
    },
    onHandover: (give, undo) => joined()?.onHandover(give, undo) ?? (() => {}),
    inherited: async () => joined()?.inherited() ?? [],
    stay: (socket) => joined()?.stay(socket) ?? false,
    handOver: (socket, handOver) => joined()?.handOver(socket, handOver) ?? false,
    onAdopt: (kind, callback) => joined()?.onAdopt(kind, callback) ?? (() => {}),
  };
}
