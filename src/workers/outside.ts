import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename } from 'node:path';
import { OUTSIDE_LOOK_MS, OUTSIDE_LOOKS } from '../limits.js';
import { socketsOf } from '../listeners/holder.js';
import { allProcesses, textsIn } from '../processes.js';
import { type Family, hasMark } from './leftovers.js';

/** A process of a worker that listens without us: nothing of it can be handed over. */
export interface Outside {
  readonly pid: number;
  /** Inode of the socket. */
  readonly inode: string;
  /** As `port 3000`, or a path. */
  readonly where: string;
  readonly commandLine: readonly string[];
}

/**
 * Listening sockets of a worker's process and of those that its program has started, but for ours (`known`: inodes). A unix socket in
 * the temporary directory is for the program itself.
 */
export function outsideListeners(worker: Family, known: ReadonlySet<string>): Outside[] {
  const listening = listeningIn(worker.session);
  for (const inode of known) listening.delete(inode);
  if (listening.size === 0) return [];
  const processes = allProcesses().filter(
    ({ pid, session }) => session === worker.session || hasMark(pid, worker.mark),
  );
  return processes.flatMap(({ pid }) => {
    try {
      const commandLine = textsIn(pid, 'cmdline');
      return socketsOf(pid).flatMap((inode) => {
        const where = listening.get(inode);
        return where === undefined ? [] : { pid, inode, where, commandLine };
      });
    } catch {
      // It has ended, or is another user's.
      return [];
    }
  });
}

/** What to start instead, from what has been started. */
export function adviceOnOutside({ pid, commandLine }: Outside, worker: number): string {
  if (pid === worker) return 'listen without `reusePort` and `fd`, and not in a worker_threads thread';
  if (watches(worker)) return 'leave out --watch: an upgrade replaces the program';
  const [program = '', ...args] = commandLine;
  const isValue = (at: number): boolean =>
    /^(-r|--require|--import|--loader|--experimental-loader)$/.test(args[at - 1] ?? '');
  const script = args.find((word, at) => !word.startsWith('-') && !isValue(at) && /\.[cm]?[jt]sx?$/.test(word));
  if (!/^node(js)?$/.test(basename(program))) return 'Motya hands over what Node programs listen on; this is none';
  if (args.some((word) => /[/\\]tsx[/\\]/.test(word))) return 'start the real script: nodeArgs: [--import, tsx]';
  return script === undefined
    ? 'start that program itself, or leave NODE_OPTIONS and MOTYA_BRANCH_OF in its environment'
    : `start that program itself (motya start ${script}), or leave NODE_OPTIONS and MOTYA_BRANCH_OF in its environment`;
}

/** `node --watch` runs the program as its child. */
function watches(pid: number): boolean {
  try {
    return textsIn(pid, 'cmdline').some((word) => /^--watch(-path)?(=|$)/.test(word));
  } catch {
    return false;
  }
}

/** The columns of /proc/PID/net (proc(5)): where each socket listens, by inode. */
function listeningIn(pid: number): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, address = '', , state, , , , , , inode] of rows(pid, 'tcp').concat(rows(pid, 'tcp6'))) {
    const LISTEN = '0A';
    if (state === LISTEN && inode !== undefined)
      found.set(inode, `port ${Number.parseInt(address.split(':')[1] ?? '', 16)}`);
  }
  for (const [, , , flags, , , inode, path] of rows(pid, 'unix')) {
    const ACCEPTS = '00010000';
    if (flags !== ACCEPTS || inode === undefined || path === undefined) continue;
    if (!path.startsWith('@') && !path.startsWith(`${tmpdir()}/`)) found.set(inode, path);
  }
  return found;
}

function rows(pid: number, table: 'tcp' | 'tcp6' | 'unix'): string[][] {
  try {
    const lines = readFileSync(`/proc/${pid}/net/${table}`, 'utf8').split('\n').slice(1);
    return lines.map((line) => line.trim().split(/\s+/));
  } catch {
    // It has ended; or there is no IPv6.
    return [];
  }
}

/** Looks at workers that start, until one of them is found to leave it to others to listen. */
export class OutsideWatch {
  /** Resolves with what has listened for {@link OUTSIDE_LOOKS} looks without the worker. */
  readonly found: Promise<{ outside: Outside; worker: number }>;
  readonly #timer: NodeJS.Timeout;

  /** `starting`: those that do not listen yet. `known`: inodes of what the ledger has. */
  constructor(starting: () => readonly Family[], known: () => ReadonlySet<string>) {
    const looks = new Map<string, number>();
    let found: (what: { outside: Outside; worker: number }) => void;
    this.found = new Promise((resolve) => {
      found = resolve;
    });
    this.#timer = setInterval(() => {
      for (const worker of starting()) {
        for (const outside of outsideListeners(worker, known())) {
          const seen = (looks.get(outside.inode) ?? 0) + 1;
          looks.set(outside.inode, seen);
          if (seen >= OUTSIDE_LOOKS) found({ outside, worker: worker.session });
        }
      }
    }, OUTSIDE_LOOK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
