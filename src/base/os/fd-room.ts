import { readdirSync, readFileSync } from 'node:fs';

/** File descriptors of this process: how many are open, and how many may be (RLIMIT_NOFILE, soft). */
export function fdRoom(): { readonly open: number; readonly limit: number } {
  const limit = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity);
  return { open: readdirSync('/proc/self/fd').length, limit };
}
