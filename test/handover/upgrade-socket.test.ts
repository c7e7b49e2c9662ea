import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Details, HandoverError, MotyaError } from '#src/base/errors.js';
import { native } from '#src/base/os/native.js';
import { connectUpgradeSocket, GREETED_PEERS, UpgradeSocket } from '#src/handover/upgrade-socket.js';
import { IMPORT_NATIVE, openFds, outputOf, runModule } from '../base/native/support.js';
import { until } from '../e2e/harness/until.js';
import { hasDetails, leavesNothing, rejectsWith, TestGiver, TestPeer } from './support.js';

/** nobody's, on every Linux. */
const STRANGER = 65534;
const isRoot = process.getuid?.() === 0;
const never = new AbortController().signal;

class Waiting {
  readonly warnings: string[] = [];
  readonly socket: UpgradeSocket;
  constructor(path: string) {
    const warn = (text: string): void => void this.warnings.push(text);
    this.socket = new UpgradeSocket(path, { pid: process.pid, version: '1', readyMs: 20_000, probationMs: 0, warn });
  }
}

function throwsCode(call: () => unknown, code: string, details: Details): void {
  assert.throws(call, (error: unknown) => {
    assert.ok(error instanceof MotyaError);
    assert.equal(error.code, code);
    hasDetails(error.details, details);
    return true;
  });
}

/** A whole offer reaches the socket; then the successor hangs up. */
async function offerReaches(waiting: Waiting, directory: string, path: string): Promise<void> {
  const giver = new TestGiver(directory, 3);
  const fd = await connectUpgradeSocket(path, never);
  assert.ok(fd !== null);
  const handing = rejectsWith(giver.handOver(fd), 'ERR_MOTYA_PROGRAM', /that will do/);
  const offer = await waiting.socket.offer;
  assert.equal(offer.listeners.length, 3);
  for (const of of [offer.lockFd, ...offer.listeners.map((listener) => listener.fd)]) native.fd.close(of);
  offer.dialogue.abort(offer.txid, new HandoverError('ERR_MOTYA_PROGRAM', 'that will do'));
  await handing;
  giver.close();
}

test('mode 0600, whatever the umask; gone after close; the lock’s file stays', async () => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    const umask = process.umask(0);
    const { socket } = new Waiting(path);
    process.umask(umask);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(statSync(`${path}.lock`).mode & 0o777, 0o600);
    assert.equal(readFileSync(`${path}.lock`, 'utf8'), `${process.pid}\n`);
    socket.close();
    assert.deepEqual(readdirSync(directory), ['up.sock.lock']);
  });
});

test('a stale socket is replaced; anything else at the path is left as it is', async () => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    native.fd.close(native.listener.create({ family: 'unix', type: 'seqpacket', path }));
    new Waiting(path).socket.close();
    assert.equal(existsSync(path), false);

    writeFileSync(path, 'precious');
    throwsCode(() => new Waiting(path), 'ERR_MOTYA_SOCKET', { path, reason: 'ENOTSOCK' });
    assert.equal(readFileSync(path, 'utf8'), 'precious');
    assert.deepEqual(readdirSync(directory).sort(), ['up.sock', 'up.sock.lock'], 'no temporary file');
  });
  await leavesNothing(async (directory) => {
    throwsCode(() => new Waiting(join(directory, 'none', 'up.sock')), 'ERR_MOTYA_SOCKET', { reason: 'ENOENT' });
    const path = join(directory, 'up.sock');
    mkdirSync(path);
    throwsCode(() => new Waiting(path), 'ERR_MOTYA_SOCKET', { path, reason: 'ENOTSOCK' });
  });
});

test('a socket of another user is not replaced', { skip: !isRoot && 'needs root' }, async () => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    native.fd.close(native.listener.create({ family: 'unix', type: 'seqpacket', path }));
    lchownSync(path, STRANGER, STRANGER);
    const { ino } = statSync(path);
    throwsCode(() => new Waiting(path), 'ERR_MOTYA_SOCKET', { path, uid: 65_534 });
    assert.equal(statSync(path).ino, ino);
  });
});

test('a second successor is refused with the pid of the first, and may come when it has gone', async () => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    const { socket } = new Waiting(path);
    throwsCode(() => new Waiting(path), 'ERR_MOTYA_SUCCESSOR_EXISTS', { path, pid: process.pid });
    assert.ok(statSync(path).isSocket(), 'the first is unharmed');
    socket.close();
    new Waiting(path).socket.close();
  });
});

test('an incumbent that comes first waits for the socket; it can be told to give up', async () => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    assert.equal(await connectUpgradeSocket(path, AbortSignal.timeout(100)), null);
    assert.equal(await connectUpgradeSocket(path, AbortSignal.abort()), null);
    // Also a stale one counts as none.
    native.fd.close(native.listener.create({ family: 'unix', type: 'seqpacket', path }));
    const connecting = connectUpgradeSocket(path, never);
    const { socket } = new Waiting(path);
    const fd = await connecting;
    assert.ok(fd !== null);
    native.fd.close(fd);
    socket.close();
  });
  await leavesNothing(async (directory) => {
    const path = join(directory, 'x'.repeat(200));
    await rejectsWith(connectUpgradeSocket(path, never), 'ERR_MOTYA_SOCKET', { path });
  });
});

test('silent, garbled, half and dying peers are no obstacle to the incumbent that comes later', async () => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    const waiting = new Waiting(path);
    const silent = Array.from({ length: GREETED_PEERS + 3 }, () => native.channel.connect(path));
    const half = new TestPeer(native.channel.connect(path));
    assert.equal((await half.hear())?.type, 'HELLO');
    half.say({ type: 'OFFER', txid: 'x', protocol: 1, pid: 1, generation: 1, listeners: 1000 });
    const garbled = new TestPeer(native.channel.connect(path));
    garbled.sayRaw('\x00\xff{');
    native.fd.close(native.channel.connect(path));
    await until(() => waiting.warnings.some((text) => /is not JSON/.test(text)), { what: 'a warning of the garbage' });
    assert.ok(
      waiting.warnings.every((text) => text.startsWith(`pid ${process.pid} has come to the upgrade socket in vain`)),
    );

    const started = performance.now();
    await offerReaches(waiting, directory, path);
    assert.ok(performance.now() - started < 1900, 'not after the others’ deadlines');
    waiting.socket.close();
    half.close();
    garbled.close();
    for (const fd of silent) native.fd.close(fd);
  });
});

test('a flood of connections costs no fds', async () => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    const waiting = new Waiting(path);
    const before = openFds();
    for (let n = 0; n < 500; n += 1) {
      const fd = await connectUpgradeSocket(path, never);
      assert.ok(fd !== null);
      native.fd.close(fd);
      assert.ok(openFds() < before + 64, `${openFds() - before} fds`);
    }
    await offerReaches(waiting, directory, path);
    waiting.socket.close();
  });
});

test('closing hangs up on those who are being greeted, and tells them', async () => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    const waiting = new Waiting(path);
    const peer = new TestPeer(native.channel.connect(path));
    assert.equal((await peer.hear())?.type, 'HELLO');
    waiting.socket.close();
    assert.equal((await peer.hearAbort()).code, 'ERR_MOTYA_BUSY');
    peer.close();
  });
});

test('a second incumbent is told that there is one already', async () => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    const waiting = new Waiting(path);
    await offerReaches(waiting, directory, path);
    mkdirSync(join(directory, 'two'));
    const giver = new TestGiver(join(directory, 'two'), 2);
    const fd = await connectUpgradeSocket(path, never);
    await rejectsWith(giver.handOver(fd as number), 'ERR_MOTYA_BUSY');
    giver.close();
    waiting.socket.close();
  });
});

test('an incumbent that says why there will be no offer ends the wait with its reason', async () => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    const waiting = new Waiting(path);
    const peer = new TestPeer(native.channel.connect(path));
    peer.say({ type: 'ABORT', txid: '', code: 'ERR_MOTYA_VERSION', text: 'too old' });
    await rejectsWith(waiting.socket.offer, 'ERR_MOTYA_VERSION', /too old/);
    peer.close();
    waiting.socket.close();
  });
});

/** A module that runs as another user; fd 3 ends when the test wants it to. */
function asStranger(t: TestContext, source: string) {
  const module = `${IMPORT_NATIVE} process.setgroups([]); process.setgid(${STRANGER}); process.setuid(${STRANGER}); ${source}`;
  return runModule(t, module, { stdio: ['pipe', 'pipe', 'inherit'] });
}

test('a peer of another user is refused and logged, whatever the path’s mode', {
  skip: !isRoot && 'needs root',
}, async (t) => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    const waiting = new Waiting(path);
    chmodSync(directory, 0o755);
    chmodSync(path, 0o666);
    const child = asStranger(
      t,
      `const fd = native.channel.connect(${JSON.stringify(path)});
      native.fd.waitReadable(fd, 60_000);
      console.log(native.channel.receive(fd, 1000)?.data.length);`,
    );
    child.stdin?.end();
    assert.equal(await outputOf(child), '0\n', 'hung up without a word');
    assert.deepEqual(waiting.warnings, [`a process of user ${STRANGER} was refused on the upgrade socket`]);
    await offerReaches(waiting, directory, path);
    waiting.socket.close();
  });
});

test('an incumbent gives nothing to a socket that another user holds', { skip: !isRoot && 'needs root' }, async (t) => {
  await leavesNothing(async (directory) => {
    const path = join(directory, 'up.sock');
    chmodSync(directory, 0o777);
    const child = asStranger(
      t,
      `native.listener.create({ family: 'unix', type: 'seqpacket', path: ${JSON.stringify(path)} });
      process.stdin.resume();`,
    );
    const output = outputOf(child);
    // Its own user's sockets would do; user ids are taken at listen(2).
    await rejectsWith(
      connectUpgradeSocket(path, AbortSignal.timeout(60_000)),
      'ERR_MOTYA_FOREIGN_PEER',
      /user 65534: it gets no listener/,
    );
    child.stdin?.end();
    await output;
  });
});
