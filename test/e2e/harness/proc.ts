import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What /proc tells of processes. A process that is gone has nothing: undefined or an empty list, never an error. */

/** Files that vanish while they are read: the process has ended (ESRCH), or another user's (EACCES). */
function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

interface Stat {
  readonly state: string;
  readonly ppid: number;
  readonly session: number;
  readonly threads: number;
  /** Clock ticks after boot; with the pid it names a process for good. */
  readonly startTime: number;
}

function statOf(pid: number): Stat | undefined {
  const text = ifThere(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  if (text === undefined) return undefined;
  // The name (field 2) may hold spaces and brackets: the fields after it are counted from its last bracket (proc(5)).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [state = ''] = fields;
  const [ppid, session, threads, startTime] = [1, 3, 17, 19].map((index) => Number(fields[index])) as [
    number,
    number,
    number,
    number,
  ];
  return { state, ppid, session, threads, startTime };
}

/** `kill -9`, to one of several of which one may end another. */
export function killIfAlive(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

export function pids(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

/** Alive, and not a zombie: the first thread is one before the others have ended, which may still hold files and sockets. */
export function isAlive(pid: number): boolean {
  const stat = statOf(pid);
  return stat !== undefined && stat.state !== 'X' && (stat.state !== 'Z' || stat.threads > 1);
}

export const parentOf = (pid: number): number | undefined => statOf(pid)?.ppid;
export const sessionOf = (pid: number): number | undefined => statOf(pid)?.session;
export const startTimeOf = (pid: number): number | undefined => statOf(pid)?.startTime;

export function childrenOf(pid: number): number[] {
  return pids().filter((other) => isAlive(other) && parentOf(other) === pid);
}

export function commandLineOf(pid: number): string[] {
  const text = ifThere(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ?? '';
  return text.split('\0').slice(0, -1);
}

/** The environment that the process was started with, each entry ended by NUL. */
export const environmentTextOf = (pid: number): string =>
  ifThere(() => readFileSync(`/proc/${pid}/environ`, 'utf8')) ?? '';

export function environmentOf(pid: number): Map<string, string> {
  const entries = environmentTextOf(pid)
    .split('\0')
    .filter((entry) => entry.includes('='));
  return new Map(entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]));
}

export interface OpenFile {
  readonly fd: number;
  /** As the link says it, for example `socket:[1234]` or a path. */
  readonly target: string;
}

export function fdList(pid: number): OpenFile[] {
  const fds = ifThere(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
  return fds.flatMap((fd) => {
    const target = ifThere(() => readlinkSync(`/proc/${pid}/fd/${fd}`));
    return target === undefined ? [] : [{ fd: Number(fd), target }];
  });
}

/** What the fds of a process are, without the numbers that differ in each process. */
export function fdKinds(pid: number): string[] {
  return fdList(pid)
    .map(({ target }) => target.replace(/\[\d+\]$/, '').replace(/\/process-\d+\./, '/process.'))
    .sort();
}

export const fdCount = (pid: number): number => fdList(pid).length;

/** CPU time in ms that the process has used so far. */
export function cpuTimeOf(pid: number): number {
  const text = ifThere(() => readFileSync(`/proc/${pid}/schedstat`, 'latin1'));
  return Number(text?.split(' ')[0] ?? 0) / 1e6;
}

/** Proportional set size in KiB. */
export function pssOf(pid: number): number {
  const text = ifThere(() => readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')) ?? '';
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
}

/** Socket states of /proc/net: LISTEN of TCP, and the only one that an unconnected UDP socket has. */
const TCP_LISTEN = '0A';
const UDP_UNCONNECTED = '07';
/** __SO_ACCEPTCON, the flag of a unix socket that listens. */
const UNIX_ACCEPTS = 0x10000;

/** Inode of each socket of the machine that listens (or, for UDP, is bound) → what it is, for example `tcp 0100007F:1F90`. */
function listeningSockets(): Map<number, string> {
  const found = new Map<number, string>();
  for (const [kind, wanted] of [
    ['tcp', TCP_LISTEN],
    ['tcp6', TCP_LISTEN],
    ['udp', UDP_UNCONNECTED],
    ['udp6', UDP_UNCONNECTED],
  ] as const) {
    for (const line of tableOf(kind)) {
      const [, local, , state, , , , , , inode] = line;
      if (state === wanted) found.set(Number(inode), `${kind} ${local}`);
    }
  }
  for (const [, , , flags = '0', , , inode, path = ''] of tableOf('unix')) {
    if (Number.parseInt(flags, 16) & UNIX_ACCEPTS) found.set(Number(inode), `unix ${path}`);
  }
  return found;
}

function tableOf(name: string): string[][] {
  const lines = (ifThere(() => readFileSync(`/proc/net/${name}`, 'latin1')) ?? '').split('\n').slice(1, -1);
  return lines.map((line) => line.trim().split(/\s+/));
}

/** The abstract socket of each worker at which Node processes that its program starts join it: no listener of the service. */
const OF_A_WORKER = /^unix @motya-worker-/;

/** Inode → kind and address of each listening socket that the process has open, UDP and unix among them; those of workers are not. */
export function listeningInodes(pid: number): Map<number, string> {
  const all = listeningSockets();
  const own = new Map<number, string>();
  for (const { target } of fdList(pid)) {
    const inode = Number(/^socket:\[(\d+)\]$/.exec(target)?.[1]);
    const what = all.get(inode);
    if (what !== undefined && !OF_A_WORKER.test(what)) own.set(inode, what);
  }
  return own;
}
