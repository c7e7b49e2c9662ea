import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { isSystemError } from '../base/errors.js';
import { instanceOf } from '../base/os/instance-of.js';
import type { ListenerSpec } from '../base/os/native.js';
import type { DeclaredListener } from '../config/settings.js';
import type { ListenRequest } from './listen-request.js';
import { listeningRows } from './listening-rows.js';
import type { Obstacle } from './refusals.js';

/**
 * The process that listens at an address, for an error message: `pid 123 (nginx)`, and of an instance of Motya what to do; or null when it cannot be told (another user's process,
 * another network namespace). Read from /proc (proc(5)).
 */
export function holderOf(wanted: DeclaredListener | ListenRequest): Obstacle | null {
  if ('name' in wanted) return null;
  try {
    const inodes = new Set('path' in wanted ? unixInodes(wanted.path) : inetInodes(wanted.port, isUdp(wanted)));
    return inodes.size === 0 ? null : processWith(inodes);
  } catch {
    return null;
  }
}

/** Whether the process has a socket of this inode. True, too, of one that lives and may not be looked into. */
export function hasSocket(pid: number, inode: number): boolean {
  try {
    return socketsOf(pid).includes(String(inode));
  } catch (error) {
    return !isSystemError(error) || error.code !== 'ENOENT';
  }
}

/** Inodes. @throws {SystemError} it has ended, or is another user's. */
export function socketsOf(pid: number | string): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
    } catch {
      // Closed meanwhile.
      return [];
    }
  });
}

function isUdp(wanted: ListenerSpec | Exclude<ListenRequest, { kind: 'systemd' }>): boolean {
  return 'kind' in wanted ? wanted.kind === 'udp' : wanted.type === 'dgram';
}

function inetInodes(port: number, udp: boolean): string[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  const rows = udp
    ? ['udp', 'udp6'].flatMap((table) => lines(`/proc/net/${table}`)).map((line) => line.trim().split(/\s+/))
    : [...listeningRows('tcp'), ...listeningRows('tcp6')];
  return rows.filter((columns) => columns[1]?.endsWith(`:${hexPort}`)).map((columns) => columns[9] ?? '');
}

function unixInodes(path: string): string[] {
  const shown = path.startsWith('\0') ? `@${path.slice(1)}` : path;
  return lines('/proc/net/unix')
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[7] === shown)
    .map((columns) => columns[6] ?? '');
}

function lines(file: string): string[] {
  return readFileSync(file, 'utf8').split('\n').slice(1);
}

function processWith(inodes: ReadonlySet<string>): Obstacle | null {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!socketsOf(pid).some((inode) => inodes.has(inode))) continue;
      const instance = instanceOf(Number(pid));
      const whose = instance === null ? '' : `, ${instance}`;
      const text = `pid ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})${whose}`;
      return { text, details: { holder: Number(pid) } };
    } catch {
      // It has ended meanwhile, or it is another user's.
    }
  }
  return null;
}
