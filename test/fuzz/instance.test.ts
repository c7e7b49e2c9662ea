import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { native } from '#src/base/os/native.js';
import { controlCodec } from '#src/control/control-messages.js';
import { type Child, fdList, until } from '../e2e/harness/index.js';
import type { LoadReport } from '../e2e/load/index.js';
import { type Scene, scene, servesAs } from '../e2e/scene.js';
import * as chain from '../e2e/traffic.js';
import { attack, hostile } from './hostile.js';

/** Conversations of a run of all tests; a long run sets FUZZ_RUNS. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 300);
/** Messages of the flood; a long run sets FLOOD, say to a million. */
const FLOOD = Number(process.env.FLOOD ?? 20_000);
/** KiB by which memory may grow: what a garbage collector may not have got round to. */
const SLACK_KIB = 32 * 1024;
/** Connections that drip: most of those that an instance takes at once (CONTROL_PEERS); commands need some. */
const DRIPS = 48;
const LOAD = { keepAlive: 2, fresh: 2, thinkMs: 5 } as const;
const control = (stage: Scene): string => stage.upgradeSocket.replace(/\.sock$/, '.control.sock');

/** Resident memory in KiB. */
function memoryOf(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

async function calm(child: Child, fds: number): Promise<void> {
  const count = (): number => fdList(child.pid).length;
  await until(() => count() <= fds, { what: 'fds as before', instead: () => fdList(child.pid) });
  assert.doesNotMatch(child.stderr, /unhandled|"event":"defect"|TypeError|at .*\.js:\d+/i);
}

describe('hostile peers', () => {
  it('say anything to the control socket and to a waiting successor: nothing breaks, nothing stays open', async (t) => {
    const stage = await scene(t);
    const first = await stage.first();
    const second = await stage.waiting();
    const load = await chain.traffic({ ...LOAD, port: stage.port });
    let report: LoadReport;
    try {
      const paths = [control(stage), stage.upgradeSocket];
      const once = fc.asyncProperty(
        fc.constantFrom(...paths),
        fc.array(hostile, { maxLength: 5 }),
        async (path, said) => {
          attack(path, said);
          // Some at once, and then their ends.
          if (Math.random() < 0.2) await new Promise(setImmediate);
        },
      );
      const before = [first, second].map((child) => fdList(child.pid).length);
      await fc.assert(once, { numRuns: Math.ceil(RUNS / 10) });
      const warm = [first, second].map(({ pid }) => memoryOf(pid));
      await fc.assert(once, { numRuns: RUNS });
      for (const [index, child] of [first, second].entries()) {
        await calm(child, before[index] ?? 0);
        // One of many conversations may tell it, as somebody whom it trusts, that there will be no offer.
        if (child === second && child.exit !== undefined) continue;
        const grown = memoryOf(child.pid) - (warm[index] ?? 0);
        assert.ok(grown < SLACK_KIB, `${grown} KiB more`);
        t.diagnostic(`${RUNS} conversations: ${grown} KiB more in ${index === 0 ? 'the incumbent' : 'the successor'}`);
      }
      // It may have been told, by one whom it trusts, that there will be no offer; then a new one comes.
      first.kill('SIGQUIT');
      await servesAs(second.exit === undefined ? second : first, 2);
    } finally {
      report = await load.stop();
    }
    assert.equal(report.failures, 0, JSON.stringify(report.details));
  });

  it('a slow drip on many connections: commands are answered, an upgrade works', async (t) => {
    const stage = await scene(t);
    const first = await stage.first();
    const before = fdList(first.pid).length;
    const load = await chain.traffic({ ...LOAD, port: stage.port });
    let report: LoadReport;
    const drips: (number | null)[] = Array(DRIPS).fill(null);
    // Garbage costs a connection, a half conversation goes on for ever.
    const drop = [Buffer.from('{'), controlCodec.encode({ type: 'WATCH', pid: 1, started: null })];
    let turn = 0;
    const dripping = setInterval(() => {
      const index = turn++ % DRIPS;
      try {
        drips[index] ??= native.channel.connect(control(stage));
        native.channel.send(drips[index], drop[turn % 3 === 0 ? 0 : 1] as Buffer, []);
      } catch {
        close(index);
      }
    }, 2);
    const close = (index: number): void => {
      const fd = drips[index] ?? null;
      if (fd !== null) native.fd.close(fd);
      drips[index] = null;
    };
    try {
      await until(() => turn > 5 * DRIPS, { what: 'some turns' });
      assert.equal((await stage.status()).generation, 1);
      const { code, stderr } = await stage.upgrade();
      assert.equal(code, 0, stderr);
      await first.waitForExit();
    } finally {
      clearInterval(dripping);
      for (const index of drips.keys()) close(index);
      report = await load.stop();
    }
    assert.equal(report.failures, 0, JSON.stringify(report.details));
    const second = (await stage.status()).pid;
    await until(() => fdList(second).length <= before, { what: 'fds as before', instead: () => fdList(second) });
  });

  it(`a flood of ${FLOOD} messages: clients are answered, memory stays, an upgrade works`, async (t) => {
    const stage = await scene(t);
    const first = await stage.first();
    const load = await chain.traffic({ ...LOAD, port: stage.port });
    let report: LoadReport;
    try {
      const ask = controlCodec.encode({ type: 'STATUS' });
      const before = fdList(first.pid).length;
      let memory = 0;
      let fd: number | null = null;
      for (let sent = 0; sent < FLOOD; ) {
        try {
          fd ??= native.channel.connect(control(stage));
          // Its answers are never read.
          if (native.channel.send(fd, ask, [])) sent += 1;
          else await new Promise(setImmediate);
        } catch {
          if (fd !== null) native.fd.close(fd);
          fd = null;
          await new Promise(setImmediate);
        }
        if (memory === 0 && sent > FLOOD / 10) memory = memoryOf(first.pid);
      }
      if (fd !== null) native.fd.close(fd);
      await calm(first, before);
      t.diagnostic(`${FLOOD} messages: ${memoryOf(first.pid) - memory} KiB more after a tenth of them`);
      assert.ok(memoryOf(first.pid) - memory < SLACK_KIB);
      const { code, stderr } = await stage.upgrade();
      assert.equal(code, 0, stderr);
    } finally {
      report = await load.stop();
    }
    assert.equal(report.failures, 0, JSON.stringify(report.details));
  });
});
