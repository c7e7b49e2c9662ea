import { readFileSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Details, HandoverError } from '../base/errors.js';
import { fdRoom } from '../base/os/fd-room.js';
import { count, size } from '../base/units.js';

/** Fds, beside one for each listener, that a successor must have left: for a worker's restart, its pipes, and commands. */
const SPARE_FDS = 32;
/** Bytes of memory that a booted successor must find free: what a worker needs to be started again. */
const SPARE_MEMORY_BYTES = 32 * 1024 * 1024;
/** Bytes that must be free beside the pidfile: a page for it, one for the names of the sockets. */
const SPARE_DISK_BYTES = 8 * 1024;

/**
 * What a successor that is ready looks at before it says so: whether it has the room to serve. One that runs out of it a moment
 * later would take clients along.
 * @param pidfile whose directory must have room
 * @throws {HandoverError} `ERR_MOTYA_PREFLIGHT`, with the numbers
 */
export function preflight({ pidfile, listeners }: { pidfile: string; listeners: number }): void {
  const fault = fdFault(listeners + SPARE_FDS) ?? memoryFault() ?? diskFault(dirname(pidfile));
  if (fault !== null) throw noRoom(fault);
}

/**
 * What a successor looks at before the listeners come: beyond the limit of fds the kernel drops those that ride on a message.
 * @throws {HandoverError} `ERR_MOTYA_PREFLIGHT`, with the numbers
 */
export function preflightFds(listeners: number): void {
  // To hold them, and then what preflight() asks for.
  const fault = fdFault(2 * listeners + SPARE_FDS);
  if (fault !== null) throw noRoom({ ...fault, text: `${fault.text} for ${count(listeners, 'listener')}` });
}

/** Why every upgrade of an instance that holds `listeners` by now would be rejected, or null. */
export function fdsForNext(listeners: number): Fault | null {
  return fdFault(listeners + SPARE_FDS);
}

interface Fault {
  readonly text: string;
  readonly details: Details;
}

const noRoom = ({ text, details }: Fault): HandoverError =>
  new HandoverError('ERR_MOTYA_PREFLIGHT', `the successor would not have the room to serve: ${text}`, { details });

/** Every worker that is started again gets a copy of each listener through our hands. `wanted`: how many fds must be left. */
function fdFault(wanted: number): Fault | null {
  const { open, limit } = fdRoom();
  if (limit - open >= wanted) return null;
  const text = `${open} of ${limit} file descriptors are open, and ${wanted} more are needed (ulimit -n, LimitNOFILE=)`;
  return { text, details: { lacks: 'file-descriptors', open, limit, needed: wanted } };
}

/** The tightest limit among the cgroup of this process and those above it, and what is available on the machine. */
function memoryFault(): Fault | null {
  const rooms = [...cgroupRooms(), machineRoom('/proc/meminfo')];
  const tightest = rooms.reduce((least, room) => (room.free < least.free ? room : least));
  if (tightest.free >= SPARE_MEMORY_BYTES) return null;
  const free = Math.max(0, tightest.free);
  const text = `${size(free)} of memory are free ${tightest.where}, ${size(SPARE_MEMORY_BYTES)} are needed`;
  return { text, details: { lacks: 'memory', free, needed: SPARE_MEMORY_BYTES } };
}

function diskFault(path: string): Fault | null {
  const { bavail, bsize, ffree, files } = statfsSync(path);
  // A file system without a table of inodes (btrfs) says 0 of 0.
  if (files > 0 && ffree === 0) return { text: `no inode is free in ${path}`, details: { lacks: 'inodes', path } };
  if (bavail * bsize >= SPARE_DISK_BYTES) return null;
  const free = bavail * bsize;
  const text = `${free} bytes are free in ${path}, ${SPARE_DISK_BYTES} are needed`;
  return { text, details: { lacks: 'disk', path, free, needed: SPARE_DISK_BYTES } };
}

export interface Room {
  /** Bytes. */
  readonly free: number;
  /** For messages. */
  readonly where: string;
}

export function machineRoom(meminfo: string): Room {
  const kilobytes = /^MemAvailable:\s*(\d+) kB$/m.exec(read(meminfo) ?? '')?.[1];
  return { free: kilobytes === undefined ? Infinity : Number(kilobytes) * 1024, where: 'on this machine' };
}

/** Of both versions (cgroups(7)): a machine has one of them, or version 1 for memory beside an empty version 2. */
export function cgroupRooms(root = '/sys/fs/cgroup', own = '/proc/self/cgroup'): Room[] {
  const lines = (read(own) ?? '').trim().split('\n');
  return lines.flatMap((line) => {
    const [, controllers = '', path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === '') return [root, join(root, 'unified')].flatMap((base) => roomsAbove(base, path, VERSION_2));
    return controllers.split(',').includes('memory') ? roomsAbove(join(root, 'memory'), path, VERSION_1) : [];
  });
}

interface Version {
  readonly limit: string;
  readonly used: string;
  readonly reclaimable: RegExp;
}

/** Pages of files that are not in use count as used, but are given back when something needs them. */
const VERSION_2 = { limit: 'memory.max', used: 'memory.current', reclaimable: /^inactive_file (\d+)$/m } as const;
const VERSION_1 = {
  limit: 'memory.limit_in_bytes',
  used: 'memory.usage_in_bytes',
  reclaimable: /^total_inactive_file (\d+)$/m,
} as const;

function roomsAbove(base: string, path: string, { limit, used, reclaimable }: Version): Room[] {
  const rooms: Room[] = [];
  for (let group = path; ; group = dirname(group)) {
    const directory = join(base, group);
    // `max` is no number.
    const [most, now] = [limit, used].map((name) => Number(read(join(directory, name)) ?? Number.NaN)) as [
      number,
      number,
    ];
    const spare = Number(reclaimable.exec(read(join(directory, 'memory.stat')) ?? '')?.[1] ?? 0);
    if (Number.isFinite(most - now))
      rooms.push({ free: most - now + spare, where: `below the ${size(most)} of cgroup ${group}` });
    if (group === '/' || group === '.') return rooms;
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
