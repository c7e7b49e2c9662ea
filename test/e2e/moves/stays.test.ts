import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { app, freePorts, makeCertificate, Workspace } from '../harness/index.js';
import { ClientConnection, headOf, textOf } from './clients/index.js';
import { type MoveStage, stageIn } from './stage.js';

const PROXY_LINE = 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n';

/** What a handler can do to a connection that keeps it in its process → why it stays. */
const WAYS = { property: 'touched', symbol: 'touched', listener: 'touched', stay: 'kept' } as const;

describe('connections that stay are served to their end by the generation that has them', () => {
  const space = new Workspace();
  let stage: MoveStage;
  let ports: { web: number; tls: number; proxy: number; drains: number };
  const clients = new Map<string, ClientConnection>();
  /** Answers to requests of which only a part was sent before the deploy. */
  const halves = new Map<string, ReturnType<ClientConnection['expect']>>();
  let upgraded: ReturnType<typeof connect>;
  const file = space.path('go on');

  before(async () => {
    const [web, tls, proxy, drains] = (await freePorts(4)) as [number, number, number, number];
    ports = { web, tls, proxy, drains };
    const certificate = await makeCertificate(space.dir);
    const env = { PORT: web, TLS_PORT: tls, PROXY_PORT: proxy, ...certificate };
    const config = `name: app
services:
  web: { script: ${app('moves/stays.mjs')}, env: ${JSON.stringify(env)} }
  drains: { script: ${app('moves/http.cjs')}, connections: drain, env: { PORT: ${drains} } }
`;
    stage = await stageIn(space, { config, port: web });
    await connectAll();
    await stage.deploy();
  });
  after(async () => {
    for (const client of clients.values()) client.leave();
    upgraded?.destroy();
    await space.close();
  });

  const add = (name: string, socket: ReturnType<typeof connect>): ClientConnection => {
    const client = new ClientConnection(socket, name, stage.tally);
    clients.set(name, client);
    return client;
  };
  const plain = async (port: number): Promise<ReturnType<typeof connect>> => {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return socket;
  };
  const first = async (client: ClientConnection, way?: string): Promise<void> => {
    const answer = await client.ask({ id: 'first', ...(way === undefined ? {} : { way }) });
    assert.equal(answer?.generation, 1, client.name);
  };

  async function connectAll(): Promise<void> {
    for (const way of Object.keys(WAYS)) await first(add(way, await plain(ports.web)), way);
    await first(add('moves', await plain(ports.web)));
    await first(add('drains', await plain(ports.drains)));

    const tls = connectTls({ port: ports.tls, host: '127.0.0.1', rejectUnauthorized: false });
    await once(tls, 'secureConnect');
    await first(add('tls', tls));

    const proxied = await plain(ports.proxy);
    proxied.write(PROXY_LINE);
    await first(add('proxied', proxied));

    upgraded = await plain(ports.web);
    upgraded.write('GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    await once(upgraded, 'data');

    const body = 'x'.repeat(100);
    for (const [name, used] of [
      ['half-head', true],
      ['half-head-first', false],
    ] as const) {
      const client = add(name, await plain(ports.web));
      if (used) await first(client);
      const asked = { id: name, ms: 50 };
      halves.set(name, client.expect(asked));
      client.socket.write(textOf(asked).slice(0, 20));
    }
    const client = add('half-body', await plain(ports.web));
    await first(client);
    halves.set('half-body', client.expect({ id: 'half-body', body }));
    client.socket.write(headOf({ id: 'half-body', body }) + body.slice(0, 50));

    const waits = add('expect-continue', await plain(ports.web));
    await first(waits);
    halves.set('expect-continue', waits.expect({ id: 'expect-continue', body }));
    const head = headOf({ id: 'expect-continue', body });
    waits.socket.write(
      head.replace('\r\n\r\n', `\r\nExpect: 100-continue\r\nX-File: ${encodeURIComponent(file)}\r\n\r\n`),
    );
    // All has been read when this is answered.
    await (clients.get('moves') as ClientConnection).ask({ id: 'last' });
  }

  /** The next request is answered by the former generation, whose answer is the last one of the connection. */
  async function isServedToItsEnd(name: string): Promise<void> {
    const client = clients.get(name) as ClientConnection;
    const answer = await client.ask({ id: `${name}-next` });
    assert.deepEqual([answer?.generation, client.isTold], [1, true]);
    await client.closed();
  }

  it('one that moves is not held up by them', async () => {
    const client = clients.get('moves') as ClientConnection;
    await client.moves(2);
    assert.equal(client.isTold, false);
  });

  for (const way of [...Object.keys(WAYS), 'tls', 'proxied', 'drains']) it(way, () => isServedToItsEnd(way));

  it('upgraded', async () => {
    upgraded.write('still there?');
    const [echo] = await once(upgraded, 'data');
    assert.equal(String(echo), 'still there?');
    upgraded.end();
    await once(upgraded, 'close');
  });

  const rest: Record<string, () => string> = {
    'half-head': () => textOf({ id: 'half-head', ms: 50 }).slice(20),
    'half-head-first': () => textOf({ id: 'half-head-first', ms: 50 }).slice(20),
    'half-body': () => 'x'.repeat(50),
    'expect-continue': () => 'x'.repeat(100),
  };
  for (const [name, text] of Object.entries(rest)) {
    it(name, async () => {
      const client = clients.get(name) as ClientConnection;
      if (name === 'expect-continue') space.write('go on', '');
      client.socket.write(text());
      assert.equal((await halves.get(name))?.generation, 1);
      // It is as any other then: it moves with its answer, or is told to close.
      if (!client.isTold) await client.moves(2);
    });
  }

  it('the drain is over with the last of them, and counts them by their reason', async () => {
    await stage.formerOnesEnd();
    const { stayed } = await stage.drained(1);
    const { touched, kept, tls, upgraded: upgrades, other } = stayed as Record<string, number>;
    assert.deepEqual(
      { touched, kept, tls, upgrades, other },
      { touched: 3, kept: 1, tls: 1, upgrades: 1, other: 1 },
      JSON.stringify(stayed),
    );
    const { lost, missing, wrong, doubled, resets } = stage.tally.report();
    assert.deepEqual(
      { lost, missing, wrong, doubled, resets },
      { lost: 0, missing: 0, wrong: 0, doubled: 0, resets: 0 },
    );
  });
});
