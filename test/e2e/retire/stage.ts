import assert from 'node:assert/strict';
import type { Child, Workspace } from '../harness/index.js';
import { CLI, freePorts } from '../harness/index.js';
import { Hammer, type Target } from './hammer.js';

/** As `server.listen()` takes them. */
type Address = { readonly host: string; readonly port: number } | { readonly path: string };

/** An HTTP server on each address of the JSON list in LISTEN, read at each start; answers with its generation. */
const PROGRAM = `'use strict';
const { readFileSync } = require('node:fs');
const addresses = JSON.parse(readFileSync(process.env.LISTEN, 'utf8'));
let left = addresses.length;
for (const address of addresses) {
  const server = require('node:http').createServer((_, response) => response.end(process.env.MOTYA_GENERATION));
  server.listen(address, () => --left === 0 && console.log('listening'));
}
`;

/** One program with a listener that stays and, of each kind, one that goes. */
export class Stage {
  readonly space: Workspace;
  readonly kept: Target;
  /** By kind. */
  readonly going: Readonly<Record<string, Target>>;

  constructor(space: Workspace, kept: Target, going: Readonly<Record<string, Target>>) {
    this.space = space;
    this.kept = kept;
    this.going = going;
  }

  /** @param under a command that starts the rest of its arguments */
  async start(args: readonly string[] = [], under: readonly string[] = []): Promise<Child> {
    const program = this.space.write('program.cjs', PROGRAM);
    const command = [...under, process.execPath, CLI, 'start', program, '--name', 'app', '--workers', '2', ...args];
    const child = this.space.start(command[0] as string, command.slice(1), {
      env: { LISTEN: this.listen([this.kept, ...Object.values(this.going)]) },
    });
    await child.waitFor('serving');
    return child;
  }

  /** Runs a command line of Motya that has to succeed. */
  async succeeds(args: readonly string[]): Promise<void> {
    const { code, stderr } = await this.space.run(args);
    assert.equal(code, 0, stderr);
  }

  /** The same program without Motya. */
  async startPlain(): Promise<Child> {
    const listen = this.listen([this.kept, ...Object.values(this.going)]);
    const child = this.space.node([this.space.write('program.cjs', PROGRAM)], { env: { LISTEN: listen } });
    await child.waitForSaid(/listening/);
    return child;
  }

  /** Where the next generation is to listen. @returns path of the list */
  listen(addresses: readonly Address[]): string {
    return this.space.write('listen.json', JSON.stringify(addresses));
  }

  /** One for each listener that goes, by kind, each with `clients`. */
  hammers(clients: number): Map<string, Hammer> {
    return new Map(Object.entries(this.going).map(([kind, target]) => [kind, new Hammer(target, clients)]));
  }
}

export async function stageIn(space: Workspace): Promise<Stage> {
  const [kept, v4, v6] = (await freePorts(3)) as [number, number, number];
  return new Stage(
    space,
    { host: '127.0.0.1', port: kept },
    {
      IPv4: { host: '127.0.0.1', port: v4 },
      IPv6: { host: '::1', port: v6 },
      unix: { path: space.path('going.sock') },
      // Of the full length, as Node 20 makes and reaches it; later versions do not pad (unix(7)).
      abstract: { path: `\0${space.id}`.padEnd(108, '\0') },
    },
  );
}
