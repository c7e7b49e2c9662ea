import assert from 'node:assert/strict';
import { connectControl } from '#src/control/client.js';
import type { ControlMessage } from '#src/control/control-messages.js';
import { type Child, type LogLine, until, type Workspace } from './harness/index.js';
import { type Load, type LoadOptions, type LoadReport, startLoad, startLoadProcess } from './load/index.js';

/** What a chain of upgrades under load is made of; every test of one drives it and judges it in the same way. */

/** Drains that end only because every connection has ended: waiting for this would fail any test. */
export const NEVER_FORCED = ['--drain-timeout', '10m'] as const;

/** A load and when it began. */
export interface Traffic extends Load {
  /** ms since the epoch, at most the moment to which the report's moments are relative. */
  readonly began: number;
}

/** Starts a load, by default in a process of its own, and waits for answers to clients of each kind. */
export async function traffic(options: LoadOptions, start: (options: LoadOptions) => Load = startLoadProcess) {
  const load = start(options);
  await until(
    async () => {
      const report = await load.report();
      return kindsOf(options).every((kind) => (report.answersByClient[kind] ?? 0) > 0 || report.failures > 0);
    },
    { what: `answers to ${JSON.stringify(options)}` },
  ).catch(async (error: unknown) => {
    await load.stop();
    throw error;
  });
  let began = Number.NEGATIVE_INFINITY;
  // The question takes its time too: the quickest of some tells the moment best.
  for (let ask = 0; ask < 5; ask++) {
    const asked = Date.now();
    began = Math.max(began, asked - (await load.report()).duration);
  }
  const traffic: Traffic = { began, report: () => load.report(), stop: () => load.stop() };
  return traffic;
}

const CLIENT_KINDS = ['keepAlive', 'fresh', 'slow', 'upload', 'webSocket', 'tcp', 'udp', 'http2'] as const;

function kindsOf(options: LoadOptions): (typeof CLIENT_KINDS)[number][] {
  return CLIENT_KINDS.filter((kind) => (options[kind] ?? 0) > 0);
}

/** ms: so that the kernel's queue of a socket (some 250 small datagrams) holds those of seconds in which nobody reads. */
const UDP_THINK_MS = 20;

/** A few clients on new connections, until each kind has had an answer. */
export async function probe(options: LoadOptions): Promise<LoadReport> {
  const kinds = kindsOf(options);
  const load = startLoad({
    ...options,
    thinkMs: kinds.includes('udp') ? UDP_THINK_MS : 1,
    ...Object.fromEntries(kinds.map((kind) => [kind, 1])),
  });
  try {
    const complete = async () => {
      const { answersByClient, failures } = await load.report();
      return failures > 0 || kinds.every((kind) => (answersByClient[kind] ?? 0) >= 2);
    };
    await until(complete, { what: `an answer to each of ${kinds.join(', ')}` });
  } finally {
    await load.stop();
  }
  return load.report();
}

/** Probes one after the other, so that there are new connections at every moment. */
export function probing(options: LoadOptions): { stop(): Promise<LoadReport[]> } {
  let stopped = false;
  const reports: LoadReport[] = [];
  const running = (async () => {
    while (!stopped) reports.push(await probe(options));
  })();
  running.catch(() => {});
  return {
    stop: async () => {
      stopped = true;
      await running;
      return reports;
    },
  };
}

export function assertFlawless(report: LoadReport, what = ''): void {
  assert.equal(report.failures, 0, `${what} ${JSON.stringify(report.details, undefined, 1)}`);
}

/** Generations that have answered, in order. */
export function generationsIn(...reports: LoadReport[]): number[] {
  const all = reports.flatMap(({ servers }) => servers.map(({ generation }) => Number(generation)));
  return [...new Set(all)].sort((one, other) => one - other);
}

export interface UpgradeResult {
  readonly pid: number;
  readonly generation: number;
  readonly gapMs: number;
}

/** `motya upgrade --json`, which must succeed. */
export async function upgradeByCommand(space: Workspace): Promise<UpgradeResult> {
  const { code, stdout, stderr } = await space.run(['upgrade', '--json', '--name', 'app']);
  const last = stdout.trim().split('\n').at(-1) ?? '';
  assert.equal(code, 0, `${stderr}${last}`);
  return JSON.parse(last) as UpgradeResult;
}

/** What `motya upgrade` asks of the instance, without the second that the command takes to start on a busy machine. */
export async function upgrade(space: Workspace, { allowRemoved = false } = {}): Promise<UpgradeResult> {
  const channel = connectControl(`${space.runtimeDir}/motya/app.control.sock`);
  const result = await new Promise<ControlMessage | undefined>((resolve) => {
    channel.on('close', () => resolve(undefined));
    channel.on('message', (message) => {
      if (message.type === 'RESULT') resolve(message);
    });
    channel.open();
    channel.send({ type: 'UPGRADE', dryRun: false, settled: false, allowRemoved });
  });
  channel.close();
  assert.ok(result?.type === 'RESULT' && result.ok, JSON.stringify(result));
  const { pid = 0, generation = 0, gapMicros = 0 } = result;
  return { pid, generation, gapMs: gapMicros / 1000 };
}

/** The lines of one event, of all generations whose output is the first one's. */
export function linesOf(first: Child, event: string): LogLine[] {
  return first.logs.filter((line) => line.event === event);
}

/** Waits until all generations before `last` have ended, and fails unless each one ended without forcing anything. */
export async function predecessorsEnd(first: Child, last: number): Promise<void> {
  const done = () => linesOf(first, 'ended').length >= last - 1;
  await until(done, { what: `the end of ${last - 1} generations`, instead: () => first.describe() });
  const ends = linesOf(first, 'ended').map(({ generation, reason, forced }) => ({ generation, reason, forced }));
  const expected = Array.from({ length: last - 1 }, (_, index) => index + 1);
  assert.deepEqual(
    ends.sort((one, other) => Number(one.generation) - Number(other.generation)),
    expected.map((generation) => ({ generation, reason: 'handed-over', forced: 0 })),
  );
}

/** No connection that was begun after the hand-over of a generation was answered by it. */
export function assertNewOnesAreTheSuccessors(first: Child, load: Traffic, report: LoadReport): void {
  for (const { generation, time } of linesOf(first, 'handover')) {
    for (const server of report.servers) {
      if (Number(server.generation) !== generation || server.connections === 0) continue;
      const late = load.began + server.lastConnectAt - Date.parse(time);
      assert.ok(late <= 1, `generation ${generation} took a connection begun ${late} ms after its hand-over`);
    }
  }
}
