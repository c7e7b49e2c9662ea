import { type Metric, Registry } from 'prom-client';
import type { EventLoopDelay } from '../../base/loop-delay.js';
import { PHASES } from '../phases.js';
import type { Status } from '../status-document.js';
import { PHASE_BUCKETS, type Totals } from '../totals.js';

const PROTOCOLS = ['http1', 'idle', 'http2', 'upgraded', 'other'] as const;
const WORKER_STATES = ['starting', 'ready', 'draining', 'restarting', 'ended'] as const;

type Labels = Readonly<Record<string, string | number>>;
interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** Of a histogram: which of its parts. */
  readonly part?: 'bucket' | 'sum' | 'count';
}

/** All metrics in the text format of Prometheus (version 0.0.4). docs/reference/metrics.md lists them. */
export async function renderMetrics(status: Status, totals: Totals): Promise<{ type: string; body: string }> {
  const registry = new Registry();
  addInstance(registry, status);
  addWorkers(registry, status);
  addTotals(registry, status, totals);
  return { type: registry.contentType, body: await registry.metrics() };
}

function addInstance(registry: Registry, status: Status): void {
  const { version, node, generation, startedAt, phase, listeners, draining, supervisor, lastUpgrade } = status;
  gauge(registry, 'build_info', 'Always 1; of which version the instance is', [
    { labels: { version, node }, value: 1 },
  ]);
  gauge(registry, 'generation', 'Which generation answers: upgrades so far, plus 1', one(generation));
  gauge(
    registry,
    'start_time_seconds',
    'When this generation was started, in seconds since the epoch',
    one(Date.parse(startedAt) / 1000),
  );
  gauge(
    registry,
    'phase',
    '1 for the phase in which the instance is',
    Object.keys(PHASES).map((name) => ({ labels: { phase: name }, value: name === phase ? 1 : 0 })),
  );
  gauge(
    registry,
    'listener_waiting_connections',
    'Connections that wait to be accepted, by listener (TCP only)',
    listeners.flatMap(({ key, waiting }) => (waiting === null ? [] : [{ labels: { listener: key }, value: waiting }])),
  );
  gauge(registry, 'draining_generations', 'Generations that still finish their connections', one(draining.length));
  gauge(
    registry,
    'draining_connections',
    'Connections that are open in generations that drain',
    one(draining.reduce((sum, { connections }) => sum + connections, 0)),
  );
  const gapMs = lastUpgrade?.gapMs ?? null;
  gauge(
    registry,
    'last_upgrade_gap_seconds',
    'Time from COMMIT to LIVE in the last upgrade: clients waited so long to be accepted',
    gapMs === null ? [] : one(gapMs / 1000),
  );
  gauge(
    registry,
    'supervisor_resident_memory_bytes',
    'Memory of the supervisor process',
    supervisor.memory === null ? [] : one(supervisor.memory),
  );
  gauge(
    registry,
    'supervisor_event_loop_delay_seconds',
    'Delay of the event loop of the supervisor since the last question',
    delays(supervisor.eventLoopDelay, {}),
  );
}

function addWorkers(registry: Registry, { services }: Status): void {
  gauge(
    registry,
    'workers',
    'Workers by service and state',
    services.flatMap(({ name: service, workers }) =>
      WORKER_STATES.map((state) => ({
        labels: { service, state },
        value: workers.filter((worker) => worker.state === state).length,
      })),
    ),
  );
  gauge(
    registry,
    'connections',
    'Open connections by service and protocol (idle: HTTP/1 between two requests)',
    services.flatMap(({ name: service, workers }) =>
      PROTOCOLS.map((protocol) => ({
        labels: { service, protocol },
        value: workers.reduce((sum, { protocols }) => sum + protocols[protocol], 0),
      })),
    ),
  );
  const all = services.flatMap(({ name: service, workers }) =>
    workers.map((worker) => ({ worker, labels: { service, worker: worker.index } })),
  );
  gauge(
    registry,
    'worker_resident_memory_bytes',
    'Memory of a worker process',
    all.flatMap(({ worker: { memory }, labels }) => (memory === null ? [] : [{ labels, value: memory }])),
  );
  gauge(
    registry,
    'worker_event_loop_delay_seconds',
    'Delay of the event loop of a worker since the last question',
    all.flatMap(({ worker, labels }) => delays(worker.eventLoopDelay, labels)),
  );
  gauge(
    registry,
    'worker_answers',
    '1 if the worker has answered the supervisor in time, else 0',
    all.map(({ worker, labels }) => ({ labels, value: worker.answers ? 1 : 0 })),
  );
}

/** Counters: the ones that must exist before they are first counted begin at 0. */
function addTotals(registry: Registry, { services }: Status, totals: Totals): void {
  const upgrades = totals.of('upgrades').map(({ labels: [outcome = '', reason = ''], value }) => ({
    labels: { outcome, reason },
    value,
  }));
  const succeeded = { outcome: 'succeeded', reason: 'LIVE' };
  const first = upgrades.some(({ labels }) => labels.reason === succeeded.reason)
    ? []
    : [{ labels: succeeded, value: 0 }];
  counter(registry, 'upgrades_total', 'Upgrades by outcome and reason, over all generations', [...first, ...upgrades]);
  histogram(registry, 'phase_seconds', 'Time that phases took, over all generations', totals);
  counter(
    registry,
    'drained_connections_total',
    'Connections that ended by themselves in a drain',
    one(totals.get('drained')),
  );
  counter(
    registry,
    'forced_connections_total',
    'Connections that a drain has closed by force, by protocol',
    PROTOCOLS.map((protocol) => ({ labels: { protocol }, value: totals.get('forced', protocol) })),
  );
  counter(
    registry,
    'moved_connections_total',
    'Connections that went on in the next generation',
    one(totals.get('moved')),
  );
  const stayed = totals.of('stayed').map(({ labels: [reason = ''], value }) => ({ labels: { reason }, value }));
  counter(
    registry,
    'stayed_connections_total',
    'Connections that could not go to the next generation, by reason',
    stayed,
  );
  for (const [name, series, help] of [
    ['worker_crashes_total', 'crashes', 'Workers that ended by themselves'],
    ['worker_restarts_total', 'restarts', 'Workers that were started again'],
  ] as const) {
    const names = new Set([
      ...services.map((service) => service.name),
      ...totals.of(series).map(({ labels }) => labels[0] ?? ''),
    ]);
    const samples = [...names].map((service) => ({ labels: { service }, value: totals.get(series, service) }));
    counter(registry, name, help, samples);
  }
}

function one(value: number): Sample[] {
  return [{ labels: {}, value }];
}

function delays(delay: EventLoopDelay | null, labels: Labels): Sample[] {
  if (delay === null) return [];
  const { p50, p99, max } = delay;
  const quantiles = { '0.5': p50, '0.99': p99, '1': max };
  return Object.entries(quantiles).map(([quantile, ms]) => ({ labels: { ...labels, quantile }, value: ms / 1000 }));
}

function gauge(registry: Registry, name: string, help: string, samples: readonly Sample[]): void {
  add(registry, 'gauge', name, help, samples);
}

function counter(registry: Registry, name: string, help: string, samples: readonly Sample[]): void {
  add(registry, 'counter', name, help, samples);
}

/** `le` is cumulative: each bucket has those of all smaller ones too. */
function histogram(registry: Registry, name: string, help: string, totals: Totals): void {
  const phases = new Set(totals.of('phase').map(({ labels: [phase = ''] }) => phase));
  const samples = [...phases].flatMap((phase) => {
    let count = 0;
    const buckets = [...PHASE_BUCKETS.map(String), '+Inf'].map((le): Sample => {
      count += totals.get('phase', phase, le);
      return { labels: { phase, le }, value: count, part: 'bucket' };
    });
    const sum = totals.get('phase', phase, 'micros') / 1e6;
    return [
      ...buckets,
      { labels: { phase }, value: sum, part: 'sum' },
      { labels: { phase }, value: count, part: 'count' },
    ] satisfies Sample[];
  });
  add(registry, 'histogram', name, help, samples);
}

/**
 * A metric whose samples are known. prom-client's own counters and histograms only count up from 0; ours have been counted, by
 * several processes. The registry asks no more of a metric than its name and `get`.
 */
function add(registry: Registry, type: string, name: string, help: string, samples: readonly Sample[]): void {
  const full = `motya_${name}`;
  const values = samples.map(({ labels, value, part }) => ({
    labels,
    value,
    ...(part === undefined ? {} : { metricName: `${full}_${part}` }),
  }));
  const metric = { name: full, get: async () => ({ name: full, help, type, values }) };
  registry.registerMetric(metric as unknown as Metric);
}
