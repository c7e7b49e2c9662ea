import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { Ledger } from '#src/listeners/ledger.js';
import type { ListenRequest } from '#src/listeners/listen-request.js';
import type { Listener } from '#src/listeners/listener.js';
import type { Obstacle, Refusal } from '#src/listeners/refusals.js';
import { nameOf } from '#src/listeners/request-names.js';
import { type AddressRequest, ListenGate, type ListenRequester } from '#src/workers/listen-gate.js';
import { openFds, scratch } from '../base/native/support.js';
import { until } from '../e2e/harness/until.js';

class TestAsker implements ListenRequester {
  readonly service = 'web';
  readonly pid: number;
  readonly readyAt = null;
  readonly heard: string[];
  constructor(pid: number, heard: string[]) {
    this.pid = pid;
    this.heard = heard;
  }
  grant(id: number, listener: Listener): void {
    this.heard.push(`${this.pid}#${id} ${listener.key.replace(/:\d+$/, '')}`);
  }
  wait(id: number): void {
    this.heard.push(`${this.pid}#${id} wait`);
  }
  leavePlain(id: number): void {
    this.heard.push(`${this.pid}#${id} plain`);
  }
  lend(id: number, request: AddressRequest, holder: Listener | null): void {
    this.heard.push(`${this.pid}#${id} lent ${nameOf(request)} of ${holder?.key ?? 'another generation'}`);
  }
  refuse(id: number, refusal: Refusal, where: string, why: Obstacle | null): void {
    this.heard.push(
      `${this.pid}#${id} ${refusal.syscall} ${refusal.code} ${refusal.errno} ${where}${why === null ? '' : ` (${why.text})`}`,
    );
  }
}

const tcp = (address: string, port = 0): ListenRequest => ({
  kind: 'tcp',
  address,
  port,
  v6only: false,
  backlog: 0,
  ordinal: 0,
});

async function withGate(
  open: boolean,
  body: (gate: ListenGate, ledger: Ledger, heard: string[], askers: [TestAsker, TestAsker]) => void | Promise<void>,
): Promise<void> {
  const before = openFds();
  const ledger = new Ledger();
  const heard: string[] = [];
  await body(new ListenGate(ledger, { open }), ledger, heard, [new TestAsker(1, heard), new TestAsker(2, heard)]);
  ledger.removeAll({ unlink: true });
  assert.equal(openFds(), before);
}

/** An address that somebody else holds until `free` is called. */
function taken(): { port: number; free: () => void } {
  const fd = native.listener.create({ family: 'inet', type: 'stream', address: '127.0.0.1', port: 0 });
  return { port: native.listener.describe(fd).port as number, free: () => native.fd.close(fd) };
}

test('open: every question is answered at once', async () => {
  await withGate(true, (gate, _, heard, [one, two]) => {
    const { port, free } = taken();
    gate.ask(one, 1, tcp('127.0.0.1'));
    gate.ask(two, 1, tcp('127.0.0.1'));
    gate.ask(two, 2, tcp('127.0.0.1'));
    gate.ask(one, 2, tcp('127.0.0.1', port));
    free();
    assert.deepEqual(heard, [
      '1#1 tcp://127.0.0.1',
      '2#1 tcp://127.0.0.1',
      '2#2 bind EADDRINUSE -98 tcp://127.0.0.1:0 (another worker or service of this instance)',
      `1#2 bind EADDRINUSE -98 tcp://127.0.0.1:${port} (pid ${process.pid} (node))`,
    ]);
  });
});

test('held: what is here is had at once, what is to be bound waits', async () => {
  await withGate(true, (gate, _, heard, [one, two]) => {
    const { port, free } = taken();
    free();
    gate.ask(one, 1, tcp('127.0.0.1', port));
    gate.hold();
    assert.equal(gate.isOpen, false);
    gate.ask(two, 1, tcp('127.0.0.1', port));
    gate.ask(two, 2, tcp('127.0.0.1'));
    assert.deepEqual(heard, ['1#1 tcp://127.0.0.1', '2#1 tcp://127.0.0.1', '2#2 wait']);
    gate.open();
    assert.deepEqual(heard.slice(3), ['2#2 tcp://127.0.0.1']);
  });
});

test('shut: all wait, and are answered in the order in which they came', async () => {
  await withGate(false, (gate, _, heard, [one, two]) => {
    gate.ask(two, 7, tcp('::1'));
    gate.ask(one, 1, tcp('127.0.0.1'));
    gate.ask(two, 8, tcp('127.0.0.2'));
    assert.deepEqual(heard.splice(0), ['2#7 wait', '1#1 wait', '2#8 wait']);
    gate.open();
    assert.deepEqual(heard.splice(0), ['2#7 tcp://[::1]', '1#1 tcp://127.0.0.1', '2#8 tcp://127.0.0.2']);
    gate.ask(one, 2, tcp('127.0.0.3'));
    assert.deepEqual(heard, ['1#2 tcp://127.0.0.3']);
    gate.open();
    assert.equal(heard.length, 1, 'nothing is answered twice');
  });
});

test('a worker that has ended is not answered, and holds nothing', async () => {
  await withGate(false, (gate, ledger, heard, [one, two]) => {
    gate.ask(one, 1, tcp('127.0.0.1'));
    gate.ask(two, 1, tcp('127.0.0.1'));
    gate.forget(1);
    gate.open();
    assert.deepEqual(heard, ['1#1 wait', '2#1 wait', '2#1 tcp://127.0.0.1']);
    assert.deepEqual([...(ledger.all()[0]?.users ?? [])], [2]);
    gate.forget(2);
    assert.equal(ledger.all()[0]?.users.size, 0);
    assert.equal(ledger.size, 1, 'the next worker finds it');
  });
});

test('after the incumbent’s death an address in use is waited for; PENDING is said once', async (t) => {
  const tries = t.mock.method(native.listener, 'create');
  await withGate(false, async (gate, _, heard, [one, two]) => {
    const { port, free } = taken();
    gate.ask(one, 1, tcp('127.0.0.1', port));
    gate.awaitAddresses(60_000);
    gate.open();
    gate.ask(two, 1, tcp('127.0.0.1', port));
    gate.ask(two, 2, tcp('::1'));
    assert.deepEqual(heard.splice(0), ['1#1 wait', '2#1 wait', '2#2 tcp://[::1]']);
    const before = tries.mock.callCount();
    await until(() => tries.mock.callCount() > before + 3, { what: 'some tries, all of them in vain' });
    assert.deepEqual(heard, []);
    free();
    await until(() => heard.length === 2, { what: 'both answers' });
    assert.deepEqual(heard, ['1#1 tcp://127.0.0.1', '2#1 tcp://127.0.0.1']);
  });
});

test('after the incumbent’s death: a worker that dies in its wait is not granted anything later', async () => {
  await withGate(false, async (gate, ledger, heard, [one, two]) => {
    const { port, free } = taken();
    gate.ask(one, 1, tcp('127.0.0.1', port));
    gate.ask(two, 1, tcp('127.0.0.1', port));
    gate.awaitAddresses(60_000);
    gate.open();
    gate.forget(1);
    free();
    await until(() => heard.includes('2#1 tcp://127.0.0.1'), { what: 'the answer to the other' });
    assert.deepEqual([...(ledger.all()[0]?.users ?? [])], [2]);
    assert.equal(heard.length, 3);
  });
});

test('after the incumbent’s death: not for ever', async () => {
  await withGate(false, async (gate, _, heard, [one]) => {
    const { port, free } = taken();
    gate.ask(one, 1, tcp('127.0.0.1', port));
    gate.awaitAddresses(120);
    gate.open();
    await until(() => heard.length === 2, { what: 'the refusal' });
    free();
    assert.match(heard[1] ?? '', /^1#1 bind EADDRINUSE -98 /);
  });
});

test('owns: paths of this generation, and of another one', async (t) => {
  const directory = scratch(t);
  await withGate(true, (gate, _, __, [one]) => {
    gate.ask(one, 1, { kind: 'unix', path: join(directory, 'a.sock'), backlog: 0 });
    gate.guardPaths([join(directory, 'b.sock')]);
    assert.deepEqual(
      ['a.sock', 'b.sock', 'c.sock'].map((name) => gate.owns(join(directory, name))),
      [true, true, false],
    );
  });
});

test('in a sandbox a real address is never bound, and programs remove no socket files', async () => {
  const { port, free } = taken();
  const ledger = new Ledger();
  const heard: string[] = [];
  const gate = new ListenGate(ledger, { open: true, sandbox: { directory: '/nowhere', owner: process.pid } });
  gate.ask(new TestAsker(1, heard), 1, tcp('127.0.0.1', port));
  gate.ask(new TestAsker(2, heard), 1, tcp('127.0.0.1', port));
  // The same stand-in for both.
  assert.deepEqual([heard, ledger.size], [['1#1 tcp://127.0.0.1', '2#1 tcp://127.0.0.1'], 1]);
  assert.notEqual(ledger.all()[0]?.socket.port, port);
  assert.equal(gate.owns('/run/app.sock'), true);
  ledger.removeAll({ unlink: true });
  free();
});
