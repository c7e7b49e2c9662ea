import assert from 'node:assert/strict';
import { existsSync, lstatSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isSystemError } from '#src/base/errors.js';
import { type ListenerSpec, native } from '#src/base/os/native.js';
import { identify } from '#src/base/os/path-identity.js';
import { isStale } from '#src/listeners/create.js';
import { Ledger } from '#src/listeners/ledger.js';
import type { ListenRequest } from '#src/listeners/listen-request.js';
import type { Listener } from '#src/listeners/listener.js';
import type { Refusal } from '#src/listeners/refusals.js';
import { holderOf } from '#src/listeners/socket-users.js';
import { keepsFds, openFds, runModule, scratch } from '../base/native/support.js';
import { freePort } from '../e2e/harness/ports.js';

type TcpRequest = Extract<ListenRequest, { kind: 'tcp' }>;
const tcp = (address: string | null, port = 0, more: Partial<TcpRequest> = {}): ListenRequest => ({
  kind: 'tcp',
  address,
  port,
  v6only: false,
  backlog: 0,
  ordinal: 0,
  ...more,
});
const unix = (path: string): ListenRequest => ({ kind: 'unix', path, backlog: 0 });

function granted(answer: Listener | Refusal): Listener {
  assert.ok('fd' in answer, `refused: ${JSON.stringify(answer)}`);
  return answer;
}

function refused(answer: Listener | Refusal): void {
  assert.deepEqual(answer, { code: 'EADDRINUSE', errno: -98, syscall: 'bind' });
}

const portOf = (listener: Listener): number => listener.socket.port as number;

function withLedger(body: (ledger: Ledger) => void): void {
  keepsFds(() => {
    const ledger = new Ledger();
    try {
      body(ledger);
    } finally {
      ledger.removeAll({ unlink: true });
    }
    assert.equal(ledger.size, 0);
  });
}

/** As if it had come from an incumbent: the copy outlives what it was copied from. */
function inherited(ledger: Ledger, spec: ListenerSpec, alias: string | null = null): Listener {
  const path = 'path' in spec ? spec.path : null;
  const fd = native.listener.create(spec);
  return ledger.inherit(fd, { alias, backlog: 7, path: path === null ? null : identify(path) });
}

test('an inherited listener is found by what it is, not by how it was written', () => {
  withLedger((ledger) => {
    const six = inherited(ledger, { family: 'inet6', type: 'stream', address: '::1', port: 0 });
    const four = inherited(ledger, { family: 'inet', type: 'stream', address: '127.0.0.1', port: 0 });
    for (const address of ['::1', '0:0::1', '0000::1'])
      assert.equal(ledger.find('web', tcp(address, portOf(six))), six);
    assert.equal(granted(ledger.addUser('web', 1, tcp('0:0:0::1', portOf(six)))), six);
    assert.equal(granted(ledger.addUser('web', 1, tcp('127.0.0.1', portOf(four)))), four);
    assert.equal(ledger.find('web', tcp('127.0.0.2', portOf(four))), undefined);
    assert.equal(ledger.size, 2);
  });
});

test('listen(port) finds what listens on :: or on 0.0.0.0', () => {
  for (const spec of [
    { family: 'inet6', type: 'stream', address: '::', port: 0 },
    { family: 'inet', type: 'stream', address: '0.0.0.0', port: 0 },
  ] as const) {
    withLedger((ledger) => {
      const listener = inherited(ledger, spec);
      assert.equal(granted(ledger.addUser('web', 1, tcp(null, portOf(listener)))), listener);
    });
  }
  withLedger((ledger) => {
    assert.match(granted(ledger.addUser('web', 1, tcp(null))).key, /^tcp:\/\/\[::\]:\d+$/);
  });
});

test('one program on 0.0.0.0 and, v6only, on :: has two listeners', async () => {
  // One that is free to both: what the kernel gives on 0.0.0.0 another process may have on ::.
  const port = await freePort();
  withLedger((ledger) => {
    granted(ledger.addUser('web', 1, tcp('0.0.0.0', port)));
    for (const address of [null, '::']) {
      const six = granted(ledger.addUser('web', 1, tcp(address, port, { v6only: true })));
      assert.equal(six.key, `tcp://[::]:${port} v6only`);
      ledger.remove(six, { unlink: true });
    }
  });
});

test('port 0: the first request of its kind gets the first listener, in every worker and generation', () => {
  withLedger((ledger) => {
    const [first, second] = [0, 1].map((ordinal) =>
      granted(ledger.addUser('web', 1, tcp('127.0.0.1', 0, { ordinal }))),
    );
    assert.notEqual(first, second);
    assert.equal(ledger.addUser('web', 2, tcp('127.0.0.1', 0)), first);
    assert.equal(ledger.addUser('web', 2, tcp('127.0.0.1', 0, { ordinal: 1 })), second);
    assert.notEqual(granted(ledger.addUser('other', 3, tcp('127.0.0.1', 0))), first, 'another service, another port');
    assert.notEqual(granted(ledger.addUser('web', 1, tcp('::1', 0))), first, 'another address');

    const next = new Ledger();
    for (const { fd, alias, backlog, path } of ledger.all()) next.inherit(native.fd.dup(fd), { alias, backlog, path });
    assert.equal(granted(next.addUser('web', 9, tcp('127.0.0.1', 0, { ordinal: 1 }))).key, second?.key);
    next.removeAll({ unlink: false });
  });
});

test('listening twice on one address fails as it does in a plain program; other workers share it', () => {
  withLedger((ledger) => {
    const listener = granted(ledger.addUser('web', 1, tcp('127.0.0.1')));
    const again = tcp('127.0.0.1', portOf(listener));
    refused(ledger.addUser('web', 1, again));
    assert.equal(ledger.addUser('web', 2, again), listener);
    refused(ledger.addUser('other', 3, again));
    assert.deepEqual([...listener.users], [1, 2]);

    ledger.removeUser(1);
    assert.equal(ledger.addUser('web', 1, again), listener);
    ledger.release(2, listener.key);
    ledger.release(2, 'tcp://nonsense');
    assert.deepEqual([...listener.users], [1]);
  });
});

test('udp: SO_REUSEADDR does not give one address to two services', () => {
  withLedger((ledger) => {
    const udp = (port: number) =>
      ({
        kind: 'udp',
        family: 'inet',
        address: '127.0.0.1',
        port,
        v6only: false,
        reuseAddr: true,
        ordinal: 0,
      }) as const;
    const listener = granted(ledger.addUser('web', 1, udp(0)));
    refused(ledger.addUser('other', 2, udp(portOf(listener))));
    assert.equal(ledger.addUser('web', 2, udp(portOf(listener))), listener);
  });
});

test('what somebody else holds fails with the kernel’s own error, and costs nothing', () => {
  const fd = native.listener.create({ family: 'inet', type: 'stream', address: '127.0.0.1', port: 0 });
  const { port } = native.listener.describe(fd);
  withLedger((ledger) => {
    assert.throws(
      () => ledger.addUser('web', 1, tcp('127.0.0.1', port as number)),
      (error: unknown) => isSystemError(error) && error.code === 'EADDRINUSE' && error.syscall === 'bind',
    );
    assert.equal(ledger.size, 0);
  });
  native.fd.close(fd);
});

test('the backlog is what was asked for last, 511 when nothing was', () => {
  withLedger((ledger) => {
    const listener = granted(ledger.addUser('web', 1, tcp('127.0.0.1')));
    assert.equal(listener.backlog, 511);
    ledger.addUser('web', 2, tcp('127.0.0.1', portOf(listener), { backlog: 9 }));
    assert.equal(listener.backlog, 9);
  });
});

test('a declared listener stays without users; an inherited one that nobody asks for is unused', () => {
  withLedger((ledger) => {
    const spec = { family: 'inet', type: 'stream', address: '127.0.0.1' } as const;
    const old = inherited(ledger, { ...spec, port: 0 });
    const unusedOne = inherited(ledger, { ...spec, port: 0 });
    const kept = ledger.declare('web', { ...spec, port: portOf(old) });
    assert.equal(kept, old, 'found among the inherited');
    assert.deepEqual([kept.declared, kept.inherited, kept.service], [true, true, 'web']);
    assert.deepEqual(ledger.unused(), [unusedOne]);
    assert.equal(ledger.declare('web', { ...spec, port: portOf(old) }), old);
    assert.throws(() => ledger.declare('other', { ...spec, port: portOf(old) }), /web and other/);
    assert.equal(granted(ledger.addUser('web', 5, tcp('127.0.0.1', portOf(old)))), old);
    assert.equal(ledger.get(old.key), old);
  });
});

test('inherit: an fd that is not a socket, or a socket that is here already, is closed', () => {
  withLedger((ledger) => {
    const listener = inherited(ledger, { family: 'inet', type: 'stream', address: '127.0.0.1', port: 0 });
    const before = openFds();
    const entry = { alias: null, backlog: 1, path: null };
    assert.throws(() => ledger.inherit(native.fd.dup(listener.fd), entry), { code: 'EADDRINUSE' });
    const [read, write] = native.fd.pipe();
    native.fd.close(write);
    assert.throws(() => ledger.inherit(read, entry), { code: 'ENOTSOCK' });
    assert.equal(openFds(), before);
    assert.equal(ledger.size, 1);
  });
});

test('remove: the path goes only if it is still the file that was bound', (t) => {
  const directory = scratch(t);
  withLedger((ledger) => {
    const [kept, gone, replaced, moved] = ['kept', 'gone', 'replaced', 'moved'].map((name) =>
      granted(ledger.addUser('web', 1, unix(join(directory, name)))),
    ) as [Listener, Listener, Listener, Listener];
    assert.equal(ledger.owns(join(directory, 'gone')), true);
    ledger.remove(kept, { unlink: false });
    ledger.remove(gone, { unlink: true });
    ledger.remove(gone, { unlink: true });
    unlinkSync(join(directory, 'replaced'));
    writeFileSync(join(directory, 'replaced'), 'precious');
    ledger.remove(replaced, { unlink: true });
    renameSync(join(directory, 'moved'), join(directory, 'elsewhere'));
    symlinkSync('elsewhere', join(directory, 'moved'));
    ledger.remove(moved, { unlink: true });
    assert.deepEqual(
      ['kept', 'gone', 'replaced', 'moved', 'elsewhere'].map((name) => existsSync(join(directory, name))),
      [true, false, true, true, true],
    );
    assert.equal(ledger.owns(join(directory, 'gone')), false);
  });
});

test('a stale path is replaced; a live one, and what is not a socket, is not', (t) => {
  const directory = scratch(t);
  const stale = join(directory, 'stale');
  native.fd.close(native.listener.create({ family: 'unix', type: 'stream', path: stale }));
  assert.equal(isStale(stale), true);
  for (const type of ['stream', 'seqpacket'] as const) {
    const live = native.listener.create({ family: 'unix', type, path: join(directory, type) });
    assert.equal(isStale(join(directory, type)), false, type);
    withLedger((ledger) => {
      assert.throws(() => ledger.addUser('web', 1, unix(join(directory, type))), { code: 'EADDRINUSE' });
    });
    native.fd.close(live);
  }
  writeFileSync(join(directory, 'file'), 'precious');
  symlinkSync(stale, join(directory, 'link'));
  for (const name of ['file', 'link', 'nothing']) assert.equal(isStale(join(directory, name)), false, name);
  assert.equal(isStale('\0abstract'), false);
  withLedger((ledger) => {
    assert.throws(() => ledger.addUser('web', 1, unix(join(directory, 'file'))), { code: 'EADDRINUSE' });
    const listener = granted(ledger.addUser('web', 1, unix(stale)));
    assert.equal(listener.path?.ino, lstatSync(stale).ino);
    assert.ok(native.listener.describe(listener.fd).listening);
  });
  assert.equal(existsSync(stale), false);
});

test('abandonAll: our own paths go, the incumbent’s stay', (t) => {
  const directory = scratch(t);
  keepsFds(() => {
    const ledger = new Ledger();
    inherited(ledger, { family: 'unix', type: 'stream', path: join(directory, 'theirs') });
    ledger.addUser('web', 1, unix(join(directory, 'ours')));
    ledger.abandonAll();
    assert.equal(ledger.size, 0);
    assert.deepEqual(
      ['theirs', 'ours'].map((name) => existsSync(join(directory, name))),
      [true, false],
    );
  });
});

async function listeningChild(t: TestContext, address: string): Promise<{ pid: number; port: number }> {
  const source = `import { createServer } from 'node:net';
    const server = createServer().listen(${address}, () => console.log(server.address().port ?? 0));
    process.stdin.resume().on('end', () => process.exit());`;
  const child = runModule(t, source, { stdio: ['pipe', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve) => child.stdout?.setEncoding('utf8').once('data', resolve));
  return { pid: child.pid as number, port: Number(line) };
}

test('holderOf names the process that listens', async (t) => {
  const inet = await listeningChild(t, "0, '127.0.0.1'");
  const address = { family: 'inet', address: '127.0.0.1', port: inet.port } as const;
  assert.equal(holderOf({ ...address, type: 'stream' })?.details.holder, inet.pid);
  assert.equal(holderOf({ ...address, type: 'dgram' }), null);
  assert.equal(holderOf(tcp('127.0.0.1', inet.port))?.details.holder, inet.pid);
  const path = join(scratch(t), 'a.sock');
  const { pid } = await listeningChild(t, JSON.stringify(path));
  assert.equal(holderOf(unix(path))?.details.holder, pid);
  assert.equal(holderOf(unix(`${path}x`)), null);
});
