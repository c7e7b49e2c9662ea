import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the range from which the kernel takes ports for outgoing connections, which could take a released one at once. */
const FIRST = 10_000;
const LAST = 32_000;
const given = new Set<number>();

/** A port that nobody has on any address now, and that this test process gets only once. */
export async function freePort(): Promise<number> {
  for (;;) {
    // At random, so that test processes that run at the same time do not follow one another.
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (given.has(port)) continue;
    given.add(port);
    if ((await isFree(port, '::')) && (await isFree(port, '0.0.0.0'))) return port;
  }
}

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

async function isFree(port: number, host: string): Promise<boolean> {
  const server = createServer();
  try {
    server.listen({ port, host });
    await once(server, 'listening');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false;
    // No IPv6 here: nobody can have it.
    if ((error as NodeJS.ErrnoException).code === 'EAFNOSUPPORT') return true;
    throw error;
  }
  server.close();
  await once(server, 'close');
  return true;
}
