import { readFileSync } from 'node:fs';

/**
 * Resident memory of a process in bytes (VmRSS, proc_pid_status(5)); null when it has gone. Not from statm, whose unit is the
 * machine's page size, which Node does not tell.
 */
export function residentMemory(pid: number): number | null {
  try {
    const kilobytes = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? null : Number(kilobytes) * 1024;
  } catch {
    return null;
  }
}
