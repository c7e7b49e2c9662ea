import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename } from 'node:path';
import { isSystemError } from '../base/errors.js';
import { OUTSIDE_LOOK_MS, OUTSIDE_LOOKS } from '../base/limits.js';
import { splitOptions } from '../base/os/node-options.js';
import { allProcesses, statOf, textsIn } from '../base/os/processes.js';
import { oneLine } from '../base/printable.js';
import { listeningRows } from '../listeners/listening-rows.js';
import { socketsOf } from '../listeners/socket-users.js';
import { inspectorIn } from '../runtime/inspector-option.js';
import { type Family, markIn } from './leftovers.js';

/** UTF-16 units of a command line in a message. */
const COMMAND_LENGTH = 100;

/** A process of a worker that listens without us: nothing of it can be handed over. */
export interface Outside {
  /** Of the worker's own process. */
  readonly worker: number;
  readonly pid: number;
  /** Inode of the socket. */
  readonly inode: string;
  /** As `port 3000`, or a path. */
  readonly where: string;
  readonly commandLine: readonly string[];
}

/** `inspectorPort`: that of the worker's own process, whose command line its program may overwrite (`process.title`). */
export interface InspectedFamily extends Family {
  readonly inspectorPort: number | undefined;
}

/**
 * Looks for listening sockets of workers and of the processes that their programs have started, but for ours. A unix socket in the
 * temporary directory is for the program itself, and the port of an inspector is for its developers. All processes are gone through only when a socket has come that was not there before.
 */
export class OutsideLook {
  /** Inodes of sockets that were there before the workers, or that were looked for in vain: other programs have them. */
  #foreign: ReadonlySet<string>;

  constructor() {
    this.#foreign = unlessOutOfFds(() => new Set(listeningSockets().keys())) ?? new Set();
  }

  /**
   * `workers`: all of the service, or another look would take what one of them listens on for another program's. `known`: inodes of
   * ours.
   */
  at(workers: readonly InspectedFamily[], known: ReadonlySet<string>): Outside[] {
    return unlessOutOfFds(() => this.#at(workers, known)) ?? [];
  }

  #at(workers: readonly InspectedFamily[], known: ReadonlySet<string>): Outside[] {
    const listening = listeningSockets();
    const foreign = [...this.#foreign].filter((inode) => listening.has(inode));
    for (const inode of [...foreign, ...known]) listening.delete(inode);
    if (listening.size === 0) return [];
    const found = membersOf(workers).flatMap(({ pid, worker }) => heldBy(pid, worker, listening));
    for (const { inode } of found) listening.delete(inode);
    this.#foreign = new Set([...foreign, ...listening.keys()]);
    return found;
  }
}

/**
 * Those of them whose address nothing else listens on, so that it goes with their worker's session. Of ports that the kernel gives out
 * by itself (ip_local_port_range, ip(7)) no client expects that they stay.
 */
export function endWithWorkers(found: readonly Outside[]): Outside[] {
  return (
    unlessOutOfFds(() => {
      const listening = listeningSockets();
      for (const { inode } of found) listening.delete(inode);
      const others = new Set(listening.values());
      const isGivenOut = givenOutPorts();
      return found.filter(
        ({ where, pid, worker }) => !others.has(where) && !isGivenOut(where) && statOf(pid)?.session === worker,
      );
    }) ?? []
  );
}

/** Whether `port 40123` is one that the kernel gives out by itself. @throws {SystemError} */
function givenOutPorts(): (where: string) => boolean {
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
  const [first = 0, last = 0] = range.split(/\s+/).map(Number);
  return (where) => {
    const port = Number(/^port (\d+)$/.exec(where)?.[1]);
    return port >= first && port <= last;
  };
}

/** Null: /proc cannot be read now. A warning that comes late is no reason to end what serves. */
function unlessOutOfFds<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return null;
  }
}

/** Processes, and the worker that each belongs to. */
function membersOf(workers: readonly InspectedFamily[]): { pid: number; worker: InspectedFamily }[] {
  const sessions = new Map(workers.map((worker) => [worker.session, worker]));
  return allProcesses().flatMap(({ pid, session }) => {
    const leader = sessions.get(session);
    if (leader !== undefined) return { pid, worker: leader };
    const mark = markIn(pid);
    const worker = mark === null ? undefined : workers.find((one) => mark.includes(one.mark));
    return worker === undefined ? [] : { pid, worker };
  });
}

function heldBy(
  pid: number,
  { session, inspectorPort }: InspectedFamily,
  listening: ReadonlyMap<string, string>,
): Outside[] {
  try {
    const commandLine = textsIn(pid, 'cmdline');
    const found = socketsOf(pid).flatMap((inode) => {
      const where = listening.get(inode);
      return where === undefined ? [] : { worker: session, pid, inode, where, commandLine };
    });
    if (found.length === 0) return [];
    const port = (pid === session ? inspectorPort : undefined) ?? inspectorPortOf(pid, commandLine);
    const isInspector = port === 0 ? givenOutPorts() : (where: string): boolean => where === `port ${port}`;
    return found.filter(({ where }) => !isInspector(where));
  } catch {
    // It has ended, or is another user's.
    return [];
  }
}

/** Where the inspector of a process listens, if it is a Node process: SIGUSR1 opens it without an option, too. 0: anywhere. */
function inspectorPortOf(pid: number, commandLine: readonly string[]): number | undefined {
  const NAME = 'NODE_OPTIONS=';
  const options = textsIn(pid, 'environ').find((text) => text.startsWith(NAME)) ?? NAME;
  return inspectorIn(['--inspect', ...splitOptions(options.slice(NAME.length)), ...commandLine.slice(1)])?.port;
}

/** For people: `pid 12 (python3 -m http.server)`. */
export const describeOutside = ({ pid, commandLine }: Outside): string =>
  `pid ${pid} (${oneLine(commandLine.join(' ')).slice(0, COMMAND_LENGTH)})`;

/** What to start instead, from what has been started. */
export function adviceOnOutside({ worker, pid, commandLine }: Outside): string {
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

/** Where each socket of this network namespace listens, by inode: the columns of /proc/net (proc(5)). */
function listeningSockets(): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, address = '', , , , , , , , inode = ''] of [...listeningRows('tcp'), ...listeningRows('tcp6')]) {
    found.set(inode, `port ${Number.parseInt(address.split(':')[1] ?? '', 16)}`);
  }
  for (const line of readFileSync('/proc/net/unix', 'utf8').split('\n')) {
    const ACCEPTS = ' 00010000 ';
    if (!line.includes(ACCEPTS)) continue;
    const [, , , , , , inode, path] = line.trim().split(/\s+/);
    if (inode === undefined || path === undefined) continue;
    if (!path.startsWith('@') && !path.startsWith(`${tmpdir()}/`)) found.set(inode, path);
  }
  return found;
}

/** Looks while workers start, until one of them is found to leave it to others to listen. */
export class OutsideWatch {
  /** Resolves with what has listened for {@link OUTSIDE_LOOKS} looks without the worker. */
  readonly found: Promise<Outside>;
  readonly #timer: NodeJS.Timeout;

  /** `look`: at workers that do not listen yet. */
  constructor(look: () => readonly Outside[]) {
    const looks = new Map<string, number>();
    let found: (what: Outside) => void;
    this.found = new Promise((resolve) => {
      found = resolve;
    });
    this.#timer = setInterval(() => {
      for (const outside of look()) {
        const seen = (looks.get(outside.inode) ?? 0) + 1;
        looks.set(outside.inode, seen);
        if (seen >= OUTSIDE_LOOKS) found(outside);
      }
    }, OUTSIDE_LOOK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
