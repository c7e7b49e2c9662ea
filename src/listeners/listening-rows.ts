import { closeSync, openSync, readSync } from 'node:fs';
import { isSystemError } from '../base/errors.js';

/** Bytes of one read: a row has 150. */
const TABLE_READ_BYTES = 16 * 1024;
/** TCP_LISTEN (include/net/tcp_states.h), as the column `st` has it. */
const LISTEN = '0A';

/**
 * The columns of /proc/net/tcp or tcp6 (proc(5)) of the sockets that listen. The kernel lists these first (tcp_seq_start()); a busy
 * server has 100,000 others, which take long.
 * @throws {SystemError}
 */
export function listeningRows(table: 'tcp' | 'tcp6'): string[][] {
  let fd: number;
  try {
    fd = openSync(`/proc/net/${table}`, 'r');
  } catch (error) {
    // There is no IPv6.
    if (isSystemError(error) && error.code === 'ENOENT') return [];
    throw error;
  }
  try {
    const buffer = Buffer.alloc(TABLE_READ_BYTES);
    const found: string[][] = [];
    let rest = '';
    for (;;) {
      const bytes = readSync(fd, buffer);
      if (bytes === 0) return found;
      const lines = (rest + buffer.toString('latin1', 0, bytes)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const columns = line.trim().split(/\s+/);
        if (columns[0] === 'sl') continue;
        if (columns[3] !== LISTEN) return found;
        found.push(columns);
      }
    }
  } finally {
    closeSync(fd);
  }
}
