import cluster, { type Worker } from 'node:cluster';
import type { AddressInfo, Server } from 'node:net';
import { inBackground } from '../base/background.js';
import type { ClusterInternals, ClusterQuery, ServerHandle } from './node-internals.js';
import type { Readiness } from './readiness.js';

/** ms for a worker of a program's own cluster, once it is online, to listen: most boot in one; a worker for jobs never does. */
const CLUSTER_LISTEN_MS = 5_000;

/**
 * `node:cluster` in a program. Each of its workers is a {@link joinWorker part} of ours and has the listeners from the supervisor,
 * so the primary distributes nothing: the kernel does, whatever the scheduling policy says.
 */

/** Stands for the handle that the primary would have sent. */
export const CLUSTER_HANDLE: ServerHandle = { close: () => {} };

export const isClusterWorker = (): boolean => cluster.isWorker;

/** A primary is ready when each worker that it has forked listens, or has ended. `failed`: one has that never listened. */
export function watchForks(readiness: Readiness, failed: (pid: number, reason: string) => void): void {
  if (!cluster.isPrimary) return;
  cluster.on('fork', (worker: Worker) => {
    const settle = readiness.expect();
    let hasListened = false;
    worker.once('listening', () => {
      hasListened = true;
      settle(true);
    });
    worker.once('exit', (code: number, signal: string | null) => {
      settle(false);
      // The supervisor sees the end of those that have. The others may have done their job, or been told to end.
      if (hasListened || code === 0 || worker.exitedAfterDisconnect || worker.process.killed) return;
      failed(worker.process.pid ?? 0, signal === null ? `exit status ${code}` : `signal ${signal}`);
    });
    // It may never listen: a worker for jobs.
    worker.once('online', () => setTimeout(() => settle(false), CLUSTER_LISTEN_MS).unref());
  });
}

/** In the worker of a cluster: `listen()` does not ask the primary, and `disconnect()` closes what listens, as in plain Node. */
export function listenAsClusterWorker(): void {
  if (!cluster.isWorker) return;
  const servers = new Set<Server>();
  const internals = cluster as unknown as ClusterInternals;
  const getServer = internals._getServer;
  internals._getServer = (server, query, answered) => {
    // Its fds are the primary's.
    if (typeof query.fd === 'number' && query.fd >= 0) {
      getServer.call(cluster, server, query, answered);
      return;
    }
    servers.add(server);
    server.once('close', () => servers.delete(server));
    server.once('listening', () => tellPrimary(server, query));
    answered(0, CLUSTER_HANDLE);
  };
  const disconnect = process.disconnect?.bind(process);
  if (disconnect === undefined) return;
  process.disconnect = () => {
    const { worker } = cluster;
    // Node closes them before it disconnects, unless the worker is to end at once.
    const isGraceful = worker?.exitedAfterDisconnect === true && internals.worker?.state !== 'destroying';
    const closing = isGraceful ? [...servers].map((server) => new Promise((closed) => server.close(closed))) : [];
    if (closing.length === 0) disconnect();
    else inBackground('disconnecting from the primary', Promise.all(closing).then(disconnect));
  };
}

/** For the primary's `listening` events. */
function tellPrimary(server: Server, { address, port, addressType, fd }: ClusterQuery): void {
  const bound = server.address() as AddressInfo | string | null;
  const told = typeof bound === 'object' && bound !== null ? bound.port : port;
  (cluster as unknown as ClusterInternals).worker.state = 'listening';
  process.send?.({ cmd: 'NODE_CLUSTER', act: 'listening', address, port: told, addressType, fd });
}
