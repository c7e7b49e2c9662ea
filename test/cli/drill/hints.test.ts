import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allKinds } from '#src/base/drain-kinds.js';
import { type Evidence, hintsFor } from '#src/cli/drill/hints.js';
import { Failure, lostRequests, RequestCounts } from '#src/cli/drill/request-counts.js';
import type { Step } from '#src/cli/drill/step.js';
import type { Settings } from '#src/config/settings.js';

const settings = { services: [{ drain: allKinds(30_000) }] } as unknown as Settings;
const stepOf = (step: Step['step'], more: Partial<Step> = {}): Step => {
  const seen = { answers: 1, failures: {}, inside: 0, longest: 10, example: null };
  return { step, title: '', ok: true, text: '', ...seen, ...more };
};
const lossy = stepOf('upgrade', { failures: { refused: 1 } });

const cases: [what: string, evidence: Partial<Evidence>, hint: RegExp | null][] = [
  ['nothing', {}, null],
  [
    'an exit while it serves',
    { programCalls: [{ pid: 1, what: 'exit', place: '/srv/a.js:3', afterSigterm: false }] },
    /calls process\.exit while it serves \(\/srv\/a\.js:3\)/,
  ],
  [
    // Motya sends it when nothing is inside any more.
    'an exit on the SIGTERM after the drain',
    { programCalls: [{ pid: 1, what: 'exit', place: '/srv/a.js:3', afterSigterm: true }] },
    null,
  ],
  [
    'a server that is closed, and clients that are refused',
    { steps: [lossy], programCalls: [{ pid: 1, what: 'close', place: '/srv/a.js:9', afterSigterm: false }] },
    /closes its server by itself \(\/srv\/a\.js:9\)/,
  ],
  [
    'a server that is closed and that nobody misses',
    { programCalls: [{ pid: 1, what: 'close', place: '/srv/a.js:9', afterSigterm: false }] },
    null,
  ],
  [
    'connections that outlast the drain',
    { log: [{ event: 'drained', ms: 30_010, forced: 2 }] },
    /^2 connections did not end within the drain timeout \(30 s\) and were closed by force/,
  ],
  [
    'a callback that outlasts it',
    { log: [{ event: 'drained', ms: 30_010, forced: 0 }] },
    /does an onDrain\(\) callback wait/,
  ],
  ['a worker that crashes', { log: [{ event: 'worker-exit', reason: 'exit status 1' }] }, /ended once by itself/],
  [
    'a slow start',
    { steps: [stepOf('steady'), stepOf('upgrade', { longest: 900 })] },
    /slow to answer at first \(up to 900 ms; 10 ms before/,
  ],
  ['5xx', { steps: [stepOf('upgrade', { failures: { status5xx: 3 } })] }, /answers with status 5xx around upgrades/],
];

for (const [what, evidence, hint] of cases) {
  test(`hints: ${what}`, () => {
    const hints = hintsFor({ steps: [], log: [], programCalls: [], settings, ...evidence });
    assert.equal(hints.length, hint === null ? 0 : 1, hints.join('\n'));
    if (hint !== null) assert.match(hints[0] ?? '', hint);
  });
}

test('only what broke in the killed process is not lost', () => {
  const counts = new RequestCounts();
  const now = performance.now();
  const killed = { from: now - 100, killedAt: now - 50, to: now + 1000 };
  const inside = [new Failure('reset', now - 90, ''), new Failure('truncated', now - 60, '')];
  const lost = [
    new Failure('refused', null, ''),
    new Failure('late', now - 60, ''),
    new Failure('status5xx', now - 60, ''),
    // On a connection of the incumbent.
    new Failure('reset', now - 200, ''),
  ];
  for (const failure of [...inside, ...lost]) counts.fail(failure);
  const seen = counts.take(killed);
  assert.deepEqual([seen.inside, lostRequests(seen)], [2, 4]);
  // Before it was killed.
  counts.fail(new Failure('reset', now - 60, ''));
  assert.equal(lostRequests(counts.take({ ...killed, killedAt: now + 1000 })), 1);
});
