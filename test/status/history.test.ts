import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { REASON_LENGTH } from '#src/base/limits.js';
import { HISTORY_BYTES, HISTORY_LENGTH, History, PHASES_KEPT } from '#src/status/history.js';
import { MOST_SERIES, Totals } from '#src/status/totals.js';
import { NOTHING_DRAINED } from '#src/workers/drained.js';

/** What a peer makes of it. */
const sent = (value: unknown): unknown => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));
const LIVE = { code: 'LIVE', text: 'it serves' } as const;
const NONE = { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 };

describe('totals', () => {
  test('whatever is counted before and after a copy: copy + what came since = all', () => {
    const events = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c|d'), fc.integer({ min: 1, max: 1000 })));
    fc.assert(
      fc.property(events, events, (before, after) => {
        const totals = new Totals();
        for (const [series, by] of before) totals.count([series], by);
        const earlier = totals.copy();
        const copied = earlier.toJSON();
        for (const [series, by] of after) totals.count([series], by);
        const since = Totals.from(sent(totals.since(earlier)));
        earlier.add(since);
        assert.deepEqual(earlier.toJSON(), totals.toJSON());
        earlier.subtract(since);
        assert.deepEqual(earlier.toJSON(), copied);
        assert.deepEqual(totals.since(earlier).toJSON(), since.toJSON());
      }),
    );
  });

  test('whatever a peer sends: counts of series, or nothing', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const values = Object.values(Totals.from(value).toJSON());
        assert.ok(values.every((count) => Number.isSafeInteger(count) && count > 0));
      }),
    );
    assert.deepEqual(Totals.from({ a: 1, b: -1, c: 0.5, d: '1', e: null }).toJSON(), { a: 1 });
  });

  test('no series beyond the limit, however many a peer names; those that are there go on', () => {
    const totals = new Totals();
    for (let n = 0; n < MOST_SERIES + 50; n += 1) totals.count(['upgrades', 'failed', `CODE_${n}`]);
    totals.count(['upgrades', 'failed', 'CODE_0']);
    assert.equal(totals.of('upgrades').length, MOST_SERIES);
    assert.equal(totals.get('upgrades', 'failed', 'CODE_0'), 2);
  });
});

describe('what is passed on', () => {
  test('counters, generations and upgrades; in the end both sides together have counted each thing once', () => {
    const first = new History();
    first.firstServes(1);
    first.crash('web');
    first.upgradeBegins();
    first.upgradeFailed('ERR_MOTYA_PROGRAM', 'it has ended', 2);
    first.upgradeBegins();
    const exported = sent(first.export());
    const second = new History();
    second.phase('booting', 12);
    second.import(exported);
    second.succeeded(2, 1, LIVE);
    // In the drain: shown by the successor once it has heard of it, not by the incumbent.
    first.drained({ ...NOTHING_DRAINED, ended: 3, moved: 4, forced: { ...NONE, http2: 1 } });
    assert.equal(first.totals.get('drained'), 0);
    for (let times = 0; times < 3; times += 1) assert.equal(first.afterCommit.get('drained'), 3);
    second.add(Totals.from(sent(first.afterCommit)));
    second.generationEnded(1, { forced: 1, moved: 4 });
    assert.deepEqual(
      [
        second.totals.get('drained'),
        second.totals.get('moved'),
        second.totals.get('forced', 'http2'),
        second.totals.get('crashes', 'web'),
        second.totals.get('upgrades', 'failed', 'ERR_MOTYA_PROGRAM'),
        second.totals.get('upgrades', 'succeeded', 'LIVE'),
        second.totals.get('phase', 'booting', '0.05'),
      ],
      [3, 4, 1, 1, 1, 1, 1],
    );
    const [before, now] = second.generations;
    assert.deepEqual([before?.generation, before?.handedOverAt, before?.forced, before?.moved], [1, now?.liveAt, 1, 4]);
    assert.ok(before?.drainedAt !== null);
    assert.deepEqual([now?.generation, now?.pid, now?.handedOverAt], [2, process.pid, null]);
    const last = second.upgrades.at(-1);
    assert.ok(last?.ok && last.ms !== null && last.gapMs === null);
    second.gap(2, 1.5);
    assert.equal(second.upgrades.at(-1)?.gapMs, 1.5);
  });

  test('an upgrade that fails after COMMIT: the incumbent counts and shows on', () => {
    const history = new History();
    history.export();
    history.crash('web');
    assert.equal(history.totals.get('crashes', 'web'), 0);
    history.upgradeFailed('ERR_MOTYA_DEADLINE', 'no LIVE', 2);
    assert.equal(history.totals.get('crashes', 'web'), 1);
    assert.equal(history.totals.get('upgrades', 'failed', 'ERR_MOTYA_DEADLINE'), 1);
  });

  test('whatever a peer of another version sends does no harm', () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), fc.anything(), (totals, generations, upgrades) => {
        const history = new History();
        history.import({ totals, generations: [generations], upgrades: [upgrades], began: totals });
        history.import(generations);
        history.succeeded(2, 1, LIVE);
        assert.equal(history.generations.at(-1)?.generation, 2);
        assert.ok(history.export() !== undefined);
      }),
    );
  });

  test('it is bounded: the counters always fit, the history where there is room', () => {
    const history = new History();
    for (let n = 0; n < 100; n += 1) {
      history.firstServes(n);
      history.upgradeFailed('ERR_MOTYA_PROGRAM', 'x'.repeat(REASON_LENGTH), n);
      history.phase('awaiting', n);
    }
    assert.equal(history.generations.length, HISTORY_LENGTH);
    assert.equal(history.upgrades.length, HISTORY_LENGTH);
    assert.equal(history.phases.length, PHASES_KEPT);
    assert.deepEqual(Object.keys(sent(history.export()) as object), ['totals', 'generations', 'upgrades', 'began']);
    // The longest names that there can be.
    for (let n = 0; n < MOST_SERIES; n += 1) history.crash(`${n}`.padEnd(64, 'x'));
    const exported = history.export();
    assert.ok(exported !== undefined);
    assert.ok(Buffer.byteLength(JSON.stringify(exported)) <= HISTORY_BYTES);
  });
});
