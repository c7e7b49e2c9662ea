import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { chmodSync, existsSync, statSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import type { Status } from '#src/status/status-document.js';
import { app, fdList, freePorts, isAlive, listeningInodes, until, type Workspace, workspace } from './harness/index.js';
import { get, scene } from './scene.js';
import * as chain from './traffic.js';

/** As test/fixtures/apps/listeners.mjs takes them. */
type Address =
  | { tcp: string; port: number; backlog?: number; ipv6Only?: boolean }
  | { path: string }
  | { udp: string; port: number };

interface Announced {
  readonly listening: readonly (AddressInfo | string)[];
  readonly pid: number;
  readonly child: number;
  readonly generation: string;
}

/** The listeners of one program, asked as its clients would. */
class Listeners {
  readonly space: Workspace;
  readonly asked: readonly Address[];
  /** Where they are, by the first generation. */
  addresses: Announced['listening'] = [];

  constructor(space: Workspace, asked: readonly Address[]) {
    this.space = space;
    this.asked = asked;
  }

  async start() {
    const env = { LISTEN: this.space.write('listen.json', JSON.stringify(this.asked)) };
    const first = this.space.motya(['start', app('listeners.mjs'), '--name', 'app', ...chain.NEVER_FORCED], { env });
    await first.waitFor('serving');
    this.addresses = JSON.parse(await first.waitForSaid(/listening/)).listening;
    return first;
  }

  /** Who answers on each address. */
  async generations(): Promise<string[]> {
    const all = this.asked.map((asked, index) => ({ asked, address: this.addresses[index] as AddressInfo | string }));
    const answers: string[] = [];
    // Some at a time: a thousand at once would overflow the queue of a datagram socket.
    while (all.length > 0) answers.push(...(await Promise.all(all.splice(0, 50).map(ask))));
    return answers;
  }

  /** The name of each listener, as `motya status` tells it. */
  keys(): string[] {
    return this.asked.map((asked, index) => {
      const address = this.addresses[index] as AddressInfo | string;
      if (typeof address === 'string') return `unix:${address.replace('\0', '@')}`;
      const host = address.family === 'IPv6' ? `[${address.address}]` : address.address;
      const only = 'ipv6Only' in asked && asked.ipv6Only ? ' v6only' : '';
      return `${'udp' in asked ? 'udp' : 'tcp'}://${host}:${address.port}${only}`;
    });
  }

  status(): Promise<Status> {
    return this.space.ask('app');
  }
}

async function ask({ asked, address }: { asked: Address; address: AddressInfo | string }): Promise<string> {
  if ('udp' in asked) {
    const { port, address: host } = address as AddressInfo;
    const socket = createSocket(asked.udp.includes(':') ? 'udp6' : 'udp4');
    socket.send('who', port, host);
    const [answer] = await once(socket, 'message');
    socket.close();
    return String(answer);
  }
  const target = typeof address === 'string' ? { path: address } : { host: address.address, port: address.port };
  const socket = connect(target);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}

/** A program on `count` addresses of all kinds. */
function mixed(test: TestContext, count: number): Listeners {
  const space = workspace(test);
  const kinds: ((index: number) => Address)[] = [
    () => ({ tcp: '127.0.0.1', port: 0 }),
    (index) => ({ path: space.path(`${index}.sock`) }),
    () => ({ tcp: '::1', port: 0 }),
    (index) => ({ path: `\0${space.id}/${index}` }),
    () => ({ udp: '127.0.0.1', port: 0 }),
    () => ({ tcp: '127.0.0.2', port: 0, backlog: 5 }),
    () => ({ udp: '::1', port: 0 }),
  ];
  return new Listeners(
    space,
    Array.from({ length: count }, (_, index) => (kinds[index % kinds.length] as (typeof kinds)[number])(index)),
  );
}

/** Inodes of the sockets that are in both: all of a listener's duplicates have one inode. */
function shared(pid: number, inodes: ReadonlySet<number>): Set<number> {
  const own = fdList(pid).map(({ target }) => Number(/^socket:\[(\d+)\]$/.exec(target)?.[1]));
  return new Set(own.filter((inode) => inodes.has(inode)));
}

// 253 fds are the most that the kernel takes in one message.
for (const count of [1, 253, 254, 1000]) {
  it(`${count} listeners of all kinds in one upgrade: the same sockets, all accounted for, none leaked`, async (test) => {
    const program = mixed(test, count);
    const first = await program.start();
    const before: Announced = JSON.parse(await first.waitForSaid(/listening/));
    const own = new Set([...listeningInodes(first.pid).keys()]);
    const inodes = shared(before.pid, own);
    assert.equal(inodes.size, count);
    assert.deepEqual(new Set(await program.generations()), new Set(['1']));

    const { pid, gapMs } = await chain.upgrade(program.space);
    const after: Announced = JSON.parse(await first.waitForSaid(/"generation":"2"/, { evenAfterExit: true }));
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.deepEqual(after.listening, before.listening);
    // The very same sockets, in the supervisor and in its worker, and in no child of the program.
    assert.deepEqual(shared(pid, inodes), inodes);
    assert.deepEqual(shared(after.pid, inodes), inodes);
    for (const child of [before.child, after.child]) assert.equal(shared(child, inodes).size, 0);
    assert.ok(isAlive(after.child));
    assert.deepEqual(await program.generations(), Array(count).fill('2'));

    const { listeners } = await program.status();
    const key = ({ key }: { key: string }) => key.replace(/\0+$/, '');
    assert.deepEqual(
      listeners.map(key).sort(),
      program
        .keys()
        .map((key) => key.replace(/\0+$/, ''))
        .sort(),
    );
    for (const { key, service, inherited } of listeners)
      assert.deepEqual([service, inherited], ['listeners', true], key);
    test.diagnostic(`COMMIT to LIVE with ${count} listeners: ${gapMs} ms`);
  });
}

describe('what a listener is survives upgrades', () => {
  it('the queue that each program asked for is in force', async (test) => {
    const program = new Listeners(workspace(test), [
      { tcp: '127.0.0.1', port: 0, backlog: 3 },
      { tcp: '::1', port: 0, backlog: 77 },
      { tcp: '127.0.0.1', port: 0 },
    ]);
    await program.start();
    for (const generation of ['1', '2', '3']) {
      if (generation !== '1') await chain.upgrade(program.space);
      assert.deepEqual(await program.generations(), Array(3).fill(generation));
      const { listeners } = await program.status();
      assert.deepEqual(
        listeners.map(({ backlog }) => backlog),
        [3, 77, 511],
      );
      for (const [index, backlog] of [3, 77, 511].entries()) {
        const { port } = program.addresses[index] as AddressInfo;
        assert.equal(queueInForce(port) ?? backlog, backlog, `generation ${generation}`);
      }
    }
  });

  it('both families of a dual-stack listener answer; one of IPv6 only stays so', async (test) => {
    const program = new Listeners(workspace(test), [
      { tcp: '::', port: 0 },
      { tcp: '::', port: 0, ipv6Only: true },
    ]);
    await program.start();
    const [both, only] = (program.addresses as AddressInfo[]).map(({ port }) => port);
    const via = (address: string, port = 0) => {
      const family = address.includes(':') ? 'IPv6' : 'IPv4';
      return ask({ asked: { tcp: address, port }, address: { address, family, port } });
    };
    for (const generation of ['1', '2', '3']) {
      if (generation !== '1') await chain.upgrade(program.space);
      assert.deepEqual(
        [await via('127.0.0.1', both), await via('::1', both), await via('::1', only)],
        Array(3).fill(generation),
      );
      await assert.rejects(via('127.0.0.1', only), { code: 'ECONNREFUSED' });
    }
  });

  it('port 0: the port that the kernel chose stays', async (test) => {
    const stage = await scene(test);
    const first = await stage.first([], { PORT: '0' });
    const { port } = JSON.parse(await first.waitForSaid(/listening/)).listening as AddressInfo;
    for (const generation of ['2', '3']) {
      await chain.upgrade(stage.space);
      assert.equal(JSON.parse((await get(port)).body).generation, generation);
    }
    const ports = first.said.map((line) => JSON.parse(line).listening.port);
    assert.deepEqual(ports, [port, port, port]);
  });

  for (const [name, ending] of Object.entries({
    'a program that unlinks before it listens': '',
    'a program that unlinks when it exits': "process.on('exit', () => fs.rmSync(path, { force: true }));",
    'a program that closes and unlinks on SIGTERM':
      "process.on('SIGTERM', () => server.close(() => { try { fs.unlinkSync(path); } catch {} process.exit(0); }));",
  })) {
    it(`the file of a unix path: ${name}`, async (test) => {
      const source = `'use strict';
const fs = require('node:fs');
const { announce, handler } = require(${JSON.stringify(app('shared/handler.cjs'))});
const path = process.env.SOCKET_PATH;
try { fs.unlinkSync(path); } catch {}
const server = require('node:http').createServer(handler).listen(path, () => announce(server));
${ending}
`;
      const stage = await scene(test, '', source);
      const path = stage.space.path('app.sock');
      const first = await stage.first(chain.NEVER_FORCED, { SOCKET_PATH: path });
      chmodSync(path, 0o640);
      const identity = () => (({ dev, ino, mode }) => ({ dev, ino, mode }))(statSync(path));
      const before = identity();
      const load = await chain.traffic({ path, keepAlive: 4, fresh: 2 });
      let report: Awaited<ReturnType<typeof load.report>>;
      try {
        for (const generation of [2, 3]) {
          await chain.upgrade(stage.space);
          await chain.predecessorsEnd(first, generation);
          assert.deepEqual(identity(), before);
          assert.deepEqual(chain.generationsIn(await chain.probe({ path, fresh: 1 })), [generation]);
        }
      } finally {
        report = await load.stop();
      }
      chain.assertFlawless(report);
      const stopped = await stage.space.run(['stop', '--name', 'app']);
      assert.equal(stopped.code, 0, stopped.stderr);
      await stage.space.nothingLeft();
      assert.equal(existsSync(path), false);
    });
  }

  it('fixed ports on one address of each family', async (test) => {
    const [tcp4 = 0, tcp6 = 0, udp4 = 0, udp6 = 0] = await freePorts(4);
    const program = new Listeners(workspace(test), [
      { tcp: '127.0.0.1', port: tcp4 },
      { tcp: '::1', port: tcp6 },
      { udp: '127.0.0.1', port: udp4 },
      { udp: '::1', port: udp6 },
    ]);
    await program.start();
    for (const generation of ['2', '3']) {
      await chain.upgrade(program.space);
      assert.deepEqual(await program.generations(), Array(4).fill(generation));
    }
    const keys = (await program.status()).listeners.map(({ key }) => key);
    assert.deepEqual(keys.sort(), program.keys().sort());
  });

  for (const host of ['127.0.0.1', '::1']) {
    it(`no datagram to ${host} is lost`, async (test) => {
      const stage = await scene(test, 'udp-echo.cjs');
      const first = await stage.first([], { HOST: host });
      // So many that some come at every moment of the hand-over, and so few that the kernel's queue of a socket (some 250 small
      // datagrams) holds those of a second in which a busy machine does not let the program read.
      const load = await chain.traffic({ host, port: stage.port, udp: 4, thinkMs: 20 });
      let report: Awaited<ReturnType<typeof load.report>>;
      try {
        for (let upgrade = 0; upgrade < 2; upgrade++) await chain.upgrade(stage.space);
        const answered = async () => chain.generationsIn(await load.report()).includes(3);
        await until(answered, { what: 'answers of generation 3' });
      } finally {
        report = await load.stop();
      }
      chain.assertFlawless(report);
      assert.equal(report.answers, report.datagramsSent);
      assert.deepEqual(chain.generationsIn(report), [1, 2, 3]);
      await chain.predecessorsEnd(first, 3);
    });
  }
});

/** The longest queue of the listener at `port`, as the kernel has it; undefined where there is no `ss` to ask. */
function queueInForce(port: number): number | undefined {
  try {
    const line = execFileSync('ss', ['-ltnH', `sport = :${port}`], { encoding: 'utf8' }).trim();
    return Number(line.split(/\s+/)[2]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
