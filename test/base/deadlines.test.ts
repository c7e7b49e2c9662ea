import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as d from '#src/base/deadlines.js';
import { LONGEST_TIMER_MS } from '#src/base/limits.js';
import { resolveSettings } from '#src/config/resolve.js';

const { probation, readyTimeout } = resolveSettings(
  { services: { web: { script: fileURLToPath(import.meta.url) } } },
  { cwd: '/', env: {}, source: null, upgrade: false },
);

/** Why one deadline must be shorter than another: `less` < `more`. */
const inequalities: readonly (readonly [less: number, more: number, reason: string])[] = [
  [d.ACCEPT_MS, d.LIVE_MS, 'a successor whose workers do not accept gives up first, and the incumbent hears why'],
  [d.PAUSE_MS + d.GIVE_MS, d.COMMIT_MS, 'the successor waits for all that the incumbent does before COMMIT'],
  [
    d.PAUSE_MS + d.GIVE_MS + d.LIVE_MS,
    d.PAUSE_LEASE_MS,
    'paused workers accept again by themselves only after their supervisor had to decide',
  ],
  [
    d.GREETING_MS + d.ABANDON_MS + d.OUTPUT_FLUSH_MS,
    d.BROKEN_MS,
    'a successor that heard no COMMIT has ended by then, also when its programs ignore SIGTERM; one that still lives is live',
  ],
  [
    d.SUCCESSOR_GRACE_MS,
    d.SUCCESSOR_START_MS,
    'a successor that is started gets longer than one that may be on its way',
  ],
  [d.SUCCESSOR_GRACE_MS, d.LATE_MS, 'a successor that came within the grace is not called late'],
  [2 * d.LATE_LISTENER_MS, readyTimeout, 'the wait for late listeners fits into the time to become ready'],
  [d.GREETING_MS, d.READY_MARGIN_MS, 'the successor’s own reason reaches the incumbent before its deadline for READY'],
  [d.MOVED_MS, d.STATS_SILENCE_MS, 'connections come back from a peer that is stopped before the peer counts as lost'],
  [d.RETIRE_MS, d.RETIRED_MS - d.GREETING_MS + 1, 'an address counts as taken until its incumbent has retired it'],

  [d.HEALTH_ANSWER_LEAST_MS, d.HEALTH_ANSWER_MS, 'the bounds of a health check are in order'],
  [
    d.HEALTH_FAILURES * d.HEALTH_ANSWER_MS + d.HEALTH_MS,
    probation,
    'a default probation is long enough for the failures that end it',
  ],
  [
    d.HEALTH_FAILURES * d.HEALTH_ANSWER_SHARE + d.HEALTH_PAUSE_SHARE,
    1,
    'any probation has room for the failures that end it',
  ],
  [
    d.NOT_ACCEPTING_MS,
    d.NOT_TURNING_MS,
    'a program whose event loop does not turn may be busy with its first requests',
  ],
  [d.ACCEPT_LOOK_MS, d.NOT_ACCEPTING_MS, 'a listener is looked at several times before it counts as dead'],
  [
    d.NOT_TURNING_MS + 2 * (d.ACCEPT_LOOK_MS + d.COUNT_MS),
    d.LAST_LOOK_MS,
    'the last look sees a dead listener, with the time of two looks',
  ],
  [
    d.HEALTH_ANSWER_MS + 2 * d.OUTLIVES_MS,
    d.LAST_LOOK_MS + 1,
    'the last look has room for the health check and a crash',
  ],
  [d.LAST_LOOK_MS, d.PROBATION_MARGIN_MS, 'the incumbent waits for the last look of its successor'],
  [d.LEFT_OUT_ANSWER_MS, d.PROBATION_MARGIN_MS - d.LAST_LOOK_MS + 1, 'there is time to ask about listeners left out'],
  [3 * d.STATS_MS, d.PROBATION_MARGIN_MS, 'a successor that says each second that it is there is not called silent'],
  [3 * d.STATS_QUIET_MS, d.STATS_SILENCE_MS, 'a predecessor is not called lost for some late STATS'],
  [
    2 * d.STATS_QUIET_MS,
    d.STOP_EXTENSION_MS,
    'each step of a drain puts off the manager’s timeout beyond the next step',
  ],

  [d.COUNT_MS, d.ANSWER_MS, 'a status answers in time although a worker does not'],
  [d.COUNT_MS, d.FIRST_DRAIN_MS, 'a drain is told although a worker does not answer'],
  [d.PLACE_LOOK_MS, d.SOCKET_REMADE_MS, 'a socket whose directory was removed is back when a command tries again'],
  [d.WEDGED_GRACE_MS, d.WEDGED_END_MS, 'an incumbent that is killed gets its grace first'],
  [d.OUTPUT_FLUSH_MS, d.STOPPED_MS, 'an instance that ends has written its log'],
];

for (const [less, more, reason] of inequalities) {
  test(reason, () => assert.ok(less < more, `${less} < ${more}`));
}

test('each deadline is one that a timer of Node can wait', () => {
  for (const [name, ms] of Object.entries(d)) assert.ok(ms > 0 && ms <= LONGEST_TIMER_MS, name);
});
