import assert from 'node:assert/strict';
import { existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { COMMIT_MS } from '#src/base/deadlines.js';
import type { Details } from '#src/base/errors.js';
import { native } from '#src/base/os/native.js';
import { receiveOffer } from '#src/handover/successor.js';
import { listenerKey } from '#src/listeners/key.js';
import { hasDetails, leavesNothing, NOBODY, rejectsWith, TestPeer, TestTaker } from './support.js';

const txid = 'tx';
/** Of an incumbent that has died. */
const offer = (listeners: number) => ({ type: 'OFFER', txid, protocol: 1, pid: NOBODY, generation: 4, listeners });
const LOCK = { type: 'LOCK', txid };
const ABORT = { type: 'ABORT', txid, code: 'ERR_MOTYA_PROGRAM', text: 'the incumbent has changed its mind' };
const entryFor = (key: string) => ({ key, alias: null, backlog: 1, path: null });

/** Some listeners as an incumbent has them, and a file to be the lock. */
class Wares {
  readonly #fds: number[] = [];
  readonly listeners: number[];
  readonly lock: number;

  constructor(directory: string) {
    const address = { family: 'inet', type: 'stream', address: '127.0.0.1', port: 0 } as const;
    this.listeners = [1, 2].map(() => this.keep(native.listener.create(address)));
    this.lock = this.keep(native.lock.acquire(join(directory, 'pid.lock')) as number);
  }

  keep(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }

  get entries() {
    return this.listeners.map((fd) => entryFor(listenerKey(native.listener.describe(fd))));
  }

  close(): void {
    for (const fd of this.#fds) native.fd.close(fd);
  }
}

type Scene = { peer: TestPeer; wares: Wares; taker: TestTaker; fd: number; hangUp: () => void };

async function scene(body: (scene: Scene) => Promise<void>): Promise<void> {
  await leavesNothing(async (directory) => {
    const wares = new Wares(directory);
    const taker = new TestTaker(directory);
    const [fd, b] = native.channel.pair();
    const peer = new TestPeer(b);
    let up = true;
    const hangUp = (): void => {
      if (up) peer.close();
      up = false;
    };
    try {
      await body({ peer, wares, taker, fd, hangUp });
    } finally {
      hangUp();
      wares.close();
      taker.close();
    }
  });
}

/** The whole offer, so that the successor may adopt. */
function offerAll({ peer, wares }: Scene, pid = NOBODY): void {
  peer.say({ ...offer(2), pid });
  peer.say({ type: 'FDS', txid, entries: wares.entries }, wares.listeners);
  peer.say(LOCK, [wares.lock]);
}

async function take({ fd, taker }: Scene): Promise<string> {
  const received = await receiveOffer(fd, taker);
  try {
    return await taker.takeOver(received);
  } finally {
    received.dialogue.close();
  }
}

/** Details of a failure; those that hold a port are known afterwards. */
type Expected = Details | ((scene: Scene, told: Details) => Details);

describe('an offer that is not what it says is refused, and the peer is told', () => {
  const refused = (name: string, code: string, details: Expected, talk: (scene: Scene) => void | Promise<void>) =>
    test(name, async () => {
      await scene(async (all) => {
        const receiving = rejectsWith(receiveOffer(all.fd, all.taker), code);
        const hello = await all.peer.hear();
        assert.equal(hello?.type, 'HELLO');
        await talk(all);
        const failure = await receiving;
        const told = await all.peer.hearAbort();
        assert.equal(told.code, code);
        assert.deepEqual(told.details, failure.details);
        hasDetails(told.details, typeof details === 'function' ? details(all, told.details) : details);
      });
    });

  refused('a file', 'ENOTSOCK', { reason: 'ENOTSOCK' }, ({ peer, wares }) => {
    peer.say(offer(2));
    const file = wares.keep(openSync('/dev/null', 'r'));
    peer.say({ type: 'FDS', txid, entries: wares.entries }, [wares.listeners[0] as number, file]);
  });
  refused('a connected socket', 'ERR_MOTYA_MANIFEST', { listener: 'unix:' }, ({ peer, wares }) => {
    peer.say(offer(1));
    const [a, b] = native.channel.pair();
    peer.say({ type: 'FDS', txid, entries: [entryFor('unix:')] }, [wares.keep(a)]);
    wares.keep(b);
  });
  refused(
    'another port than announced',
    'ERR_MOTYA_MANIFEST',
    ({ wares }) => ({ expected: wares.entries[1]?.key ?? '', came: wares.entries[0]?.key ?? '' }),
    ({ peer, wares }) => {
      peer.say(offer(2));
      peer.say({ type: 'FDS', txid, entries: wares.entries.reverse() }, wares.listeners);
    },
  );
  refused(
    'another kind than announced',
    'ERR_MOTYA_MANIFEST',
    (_, { expected }) => ({ came: String(expected).replace('tcp', 'udp') }),
    ({ peer, wares }) => {
      const fd = wares.keep(native.listener.create({ family: 'inet', type: 'dgram', address: '127.0.0.1', port: 0 }));
      const key = listenerKey(native.listener.describe(fd)).replace('udp', 'tcp');
      peer.say(offer(1));
      peer.say({ type: 'FDS', txid, entries: [entryFor(key)] }, [fd]);
    },
  );
  refused(
    'fewer fds than entries',
    'ERR_MOTYA_LISTENER_COUNT',
    { counted: 'fds', came: 1, expected: 2 },
    ({ peer, wares }) => {
      peer.say(offer(2));
      peer.say({ type: 'FDS', txid, entries: wares.entries }, wares.listeners.slice(1));
    },
  );
  refused('no fds', 'ERR_MOTYA_LISTENER_COUNT', { counted: 'fds', came: 0, expected: 2 }, ({ peer, wares }) => {
    peer.say(offer(2));
    peer.say({ type: 'FDS', txid, entries: wares.entries });
  });
  refused(
    'more fds than entries',
    'ERR_MOTYA_LISTENER_COUNT',
    { counted: 'fds', came: 2, expected: 1 },
    ({ peer, wares }) => {
      peer.say(offer(2));
      peer.say({ type: 'FDS', txid, entries: wares.entries.slice(1) }, wares.listeners);
    },
  );
  refused(
    'more listeners than offered',
    'ERR_MOTYA_LISTENER_COUNT',
    { counted: 'listeners', came: 2, expected: 1 },
    ({ peer, wares }) => {
      peer.say(offer(1));
      peer.say({ type: 'FDS', txid, entries: wares.entries }, wares.listeners);
    },
  );
  refused(
    'fewer listeners than offered',
    'ERR_MOTYA_LISTENER_COUNT',
    { counted: 'listeners', came: 2, expected: 3 },
    ({ peer, wares }) => {
      peer.say(offer(3));
      peer.say({ type: 'FDS', txid, entries: wares.entries }, wares.listeners);
      peer.say(LOCK, [wares.lock]);
    },
  );
  refused(
    'two locks in one message',
    'ERR_MOTYA_LISTENER_COUNT',
    { counted: 'lock', came: 2, expected: 1 },
    ({ peer, wares }) => {
      peer.say(offer(0));
      peer.say(LOCK, [wares.lock, wares.lock]);
    },
  );
  refused('no lock', 'ERR_MOTYA_LISTENER_COUNT', { counted: 'lock', came: 0, expected: 1 }, ({ peer }) => {
    peer.say(offer(0));
    peer.say(LOCK);
  });
  refused('an offer with no OFFER', 'ERR_MOTYA_PROTOCOL', { awaits: 'OFFER', came: 'FDS' }, ({ peer, wares }) => {
    peer.say({ type: 'FDS', txid, entries: wares.entries }, wares.listeners);
  });
  refused(
    'COMMIT before the lock',
    'ERR_MOTYA_PROTOCOL',
    { awaits: 'FDS or LOCK', came: 'COMMIT' },
    ({ peer, wares }) => {
      peer.say(offer(2));
      peer.say({ type: 'FDS', txid, entries: wares.entries }, wares.listeners);
      peer.say({ type: 'COMMIT', txid });
    },
  );
  refused('silence instead of OFFER', 'ERR_MOTYA_DEADLINE', { awaits: 'OFFER', ms: 2000 }, () => {});
  refused('silence in the middle', 'ERR_MOTYA_DEADLINE', { awaits: 'FDS or LOCK', ms: 5000 }, ({ peer, wares }) => {
    peer.say(offer(2));
    peer.say({ type: 'FDS', txid, entries: wares.entries.slice(1) }, wares.listeners.slice(1));
  });
});

test('garbage, with fds, is hung up on', async () => {
  await scene(async (all) => {
    const receiving = rejectsWith(receiveOffer(all.fd, all.taker), 'ERR_MOTYA_PROTOCOL', /not JSON/);
    all.peer.say(offer(2));
    all.peer.say({ type: 'FDS', txid, entries: all.wares.entries.slice(1) }, all.wares.listeners.slice(1));
    all.peer.sayRaw('\0\0\0', all.wares.listeners);
    await receiving;
  });
});

test('an incumbent that says why it will not', async () => {
  await scene(async (all) => {
    const receiving = rejectsWith(receiveOffer(all.fd, all.taker), 'ERR_MOTYA_PROGRAM', /changed its mind/);
    all.peer.say(offer(2));
    all.peer.say({ type: 'FDS', txid, entries: all.wares.entries }, all.wares.listeners);
    all.peer.say(ABORT);
    await receiving;
  });
});

test('an incumbent that dies before everything is here leaves nothing', async () => {
  await scene(async (all) => {
    const receiving = rejectsWith(receiveOffer(all.fd, all.taker), 'ERR_MOTYA_PEER_GONE');
    all.peer.say(offer(2));
    all.peer.say({ type: 'FDS', txid, entries: all.wares.entries }, all.wares.listeners);
    all.hangUp();
    await receiving;
  });
});

test('an incumbent that dies right after LOCK, while we boot, or after READY: the successor goes live alone', async () => {
  await scene(async (all) => {
    offerAll(all);
    all.hangUp();
    assert.equal(await take(all), 'alone');
    assert.equal(all.taker.machine.phase, 'serving');
    assert.equal(all.taker.ledger.size, 2);
    assert.equal(all.taker.pidfile.isOurs, true);
  });
  await scene(async (all) => {
    let boot!: () => void;
    all.taker.booting = new Promise((resolve) => {
      boot = resolve;
    });
    const taking = take(all);
    offerAll(all);
    await all.peer.hearUntil('ADOPTED');
    all.hangUp();
    boot();
    assert.equal(await taking, 'alone');
  });
  await scene(async (all) => {
    const taking = take(all);
    offerAll(all);
    const ready = await all.peer.hearUntil('READY');
    assert.deepEqual([ready.kept, ready.added, ready.removed], [2, 0, 0]);
    all.hangUp();
    assert.equal(await taking, 'alone');
    assert.deepEqual(all.taker.phases.slice(-2), ['alone', 'serving']);
  });
});

test('an incumbent that dies while the successor sleeps beyond a deadline: it goes live alone when it wakes', async () => {
  await scene(async (all) => {
    const taking = take(all);
    offerAll(all);
    await all.peer.hearUntil('READY');
    // In the check phase, after which timers come before the next poll: as after a SIGSTOP, the deadline for COMMIT is over, and
    // the end has not been read.
    await new Promise((resolve) => setImmediate(resolve));
    all.hangUp();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, COMMIT_MS + 100);
    assert.equal(await taking, 'alone');
  });
});

test('an incumbent that hangs up without a word and lives serves on: the successor does not go live', async () => {
  await scene(async (all) => {
    const taking = rejectsWith(
      take(all),
      'ERR_MOTYA_PEER_GONE',
      /^pid \d+ has hung up without a word and lives: it serves on$/,
    );
    offerAll(all, process.pid);
    await all.peer.hearUntil('READY');
    all.hangUp();
    await taking;
  });
});

test('COMMIT, then death: it was committed', async () => {
  await scene(async (all) => {
    const taking = take(all);
    offerAll(all);
    await all.peer.hearUntil('READY');
    all.peer.say({ type: 'COMMIT', txid });
    all.hangUp();
    assert.equal(await taking, 'handed-over');
  });
});

describe('an incumbent that gives up after ADOPTED', () => {
  test('ABORT while we boot, and after READY: nothing goes live', async () => {
    for (const after of ['ADOPTED', 'READY'] as const) {
      await scene(async (all) => {
        if (after === 'ADOPTED') all.taker.booting = new Promise(() => {});
        const taking = rejectsWith(take(all), 'ERR_MOTYA_PROGRAM', /changed its mind/);
        offerAll(all);
        await all.peer.hearUntil(after);
        all.peer.say(ABORT);
        await taking;
        assert.equal(all.taker.machine.phase, after === 'ADOPTED' ? 'booting' : 'ready');
        assert.equal(existsSync(all.taker.pidfile.path), false, 'no pidfile');
      });
    }
  });

  test('no COMMIT in time: no instance goes live unasked while the incumbent may still accept', async () => {
    await scene(async (all) => {
      const taking = rejectsWith(take(all), 'ERR_MOTYA_DEADLINE', { awaits: 'COMMIT or STATE', ms: 6000 });
      offerAll(all);
      await taking;
      assert.equal((await all.peer.hearAbort()).code, 'ERR_MOTYA_DEADLINE');
      assert.equal(all.taker.machine.phase, 'ready');
    });
  });

  test('LIVE instead of COMMIT; garbage instead of COMMIT', async () => {
    await scene(async (all) => {
      const taking = rejectsWith(take(all), 'ERR_MOTYA_PROTOCOL', { awaits: 'COMMIT or STATE', came: 'LIVE' });
      offerAll(all);
      all.peer.say({ type: 'LIVE', txid });
      await taking;
    });
    await scene(async (all) => {
      const taking = rejectsWith(take(all), 'ERR_MOTYA_PROTOCOL', /unknown message type "NONE"/);
      offerAll(all);
      await all.peer.hearUntil('READY');
      all.peer.say({ type: 'NONE' });
      await taking;
    });
  });
});

test('two sockets with one key: the second is refused, and nothing of either stays', async () => {
  await scene(async (all) => {
    const { peer, wares, taker } = all;
    const [fd] = wares.listeners as [number];
    const [entry] = wares.entries;
    peer.say(offer(2));
    peer.say({ type: 'FDS', txid, entries: [entry, entry] }, [fd, fd]);
    peer.say(LOCK, [wares.lock]);
    // As an instance does: what it has taken over is closed with its ledger.
    taker.adopt = (listeners, lockFd) => {
      native.fd.close(lockFd);
      for (const { fd: offered, entry: told } of listeners) taker.ledger.inherit(offered, told);
    };
    await rejectsWith(take(all), 'EADDRINUSE', /already/);
    assert.equal((await peer.hearAbort()).code, 'EADDRINUSE');
  });
});
