import { EVENTS } from './events.mjs';
import { LOST_MS } from './service.mjs';
import { sleep } from './sleep.mjs';

/** Failures of a request that was inside a process when it was killed. */
const OF_A_KILL = ['reset', 'truncated', 'lost'];
/** A WebSocket message that crossed the program's close frame: its sender knows that it was not received. */
const OF_A_GOODBYE = 'crossed';

/** What the clients saw, by event. */
export class Ledger {
  #loads;
  #rows = new Map();
  #seen;
  #reports = null;

  constructor({ loads }) {
    this.#loads = loads;
  }

  /** What has failed since the last event, once it is known of every request. */
  async book(name, outcome) {
    const { kills = false } = EVENTS[name];
    if (kills) await sleep(LOST_MS);
    const now = await this.#count();
    const before = this.#seen ?? {};
    this.#seen = now.kinds;
    const kinds = Object.fromEntries(
      Object.entries(now.kinds)
        .map(([kind, count]) => [kind, count - (before[kind] ?? 0)])
        .filter(([, count]) => count > 0),
    );
    const failures = Object.values(kinds).reduce((sum, count) => sum + count, 0);
    const row = this.#rows.get(name) ?? { times: 0, outcomes: {}, failures: 0 };
    row.times += 1;
    row.outcomes[outcome] = (row.outcomes[outcome] ?? 0) + 1;
    row.failures += failures;
    this.#rows.set(name, row);
    const isKept = Object.keys(kinds).every((kind) => kind === OF_A_GOODBYE || (kills && OF_A_KILL.includes(kind)));
    return { failures, kinds, isKept, ...(isKept ? {} : { details: now.details }) };
  }

  async #count() {
    const reports = await Promise.all(this.#loads.map((load) => load.report()));
    const kinds = {};
    for (const { failuresByKind } of reports) {
      for (const [kind, count] of Object.entries(failuresByKind)) kinds[kind] = (kinds[kind] ?? 0) + count;
    }
    return { kinds, details: reports.flatMap(({ details }) => details.slice(-5)) };
  }

  stop() {
    this.#reports ??= Promise.all(this.#loads.map((load) => load.stop()));
    return this.#reports;
  }

  /** The sums, and what was promised and not kept since the last event. */
  async close() {
    const reports = await this.stop();
    const { kinds } = await this.#count();
    const late = Object.entries(kinds).filter(([kind, count]) => count !== (this.#seen?.[kind] ?? 0));
    const answersByClient = Object.assign({}, ...reports.map((report) => report.answersByClient));
    const outcomesOf = (outcomes) => Object.entries(outcomes).map(([outcome, times]) => `${times} ${outcome}`);
    return {
      rows: [...this.#rows].map(([name, { times, outcomes, failures }]) => [
        name,
        times,
        outcomesOf(outcomes).join(', '),
        failures,
      ]),
      answers: reports.reduce((sum, report) => sum + report.answers, 0),
      failures: reports.reduce((sum, report) => sum + report.failures, 0),
      refused: kinds.refused ?? 0,
      kinds,
      answersByClient,
      broken: late.map(([kind]) => `${kind} at the end`),
    };
  }
}
