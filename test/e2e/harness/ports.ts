import { once } from 'node:events';
import { createServer, type ListenOptions, type Server } from 'node:net';

/** Below those that the kernel takes for outgoing connections, which could take a released one at once. */
const RANGE = [10_000, 32_000] as const;

/** A port of the range that nobody has on any address now, and that no test process gets but this one, once. */
export async function freePort([first, end]: readonly [number, number] = RANGE): Promise<number> {
  for (;;) {
    const port = first + Math.floor(Math.random() * (end - first));
    // Its file is the kernel's, and goes with this process.
    const mine = await listening({ path: `\0motya-test-port-${port}` });
    if (mine === null) continue;
    mine.unref();
    if ((await isFree(port, '::')) && (await isFree(port, '0.0.0.0'))) return port;
  }
}

export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}

async function isFree(port: number, host: string): Promise<boolean> {
  try {
    const server = await listening({ port, host });
    if (server === null) return false;
    server.close();
    await once(server, 'close');
    return true;
  } catch (error) {
    // No IPv6 here: nobody can have it.
    if ((error as NodeJS.ErrnoException).code === 'EAFNOSUPPORT') return true;
    throw error;
  }
}

/** Null: somebody else has the address. */
async function listening(options: ListenOptions): Promise<Server | null> {
  const server = createServer();
  try {
    server.listen(options);
    await once(server, 'listening');
    return server;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return null;
    throw error;
  }
}
