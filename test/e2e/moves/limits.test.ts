import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync } from 'node:fs';
import { it } from 'node:test';
import { fdCount, until, workspace } from '../harness/index.js';
import { needsRoot, USER } from '../privileges/support.js';
import { Fleet } from './clients/index.js';
import { allAt, type MoveStage, moveStage, stageIn } from './stage.js';

/** What the new generation cannot take drains where it is: with an answer that says so, and without a lost request. */

const COUNT = 50;
const ROOM = 20;

async function somePart(stage: MoveStage, fleet: Fleet, narrow: () => Promise<void>): Promise<void> {
  await allAt(fleet, 1);
  const deployed = stage.deploy();
  deployed.catch(() => {});
  await stage.first.waitFor('probation');
  await narrow();
  await deployed;
  await stage.formerOnesEnd();
  const { moved, forced, stayed } = await stage.drained(1);
  const refused = Number((stayed as { refused?: number }).refused ?? 0);
  assert.ok(Number(moved) > 0 && Number(moved) <= ROOM, `${moved} moved`);
  assert.equal(forced, 0);
  const { saysClose, untold, lost, wrong, doubled, resets, details } = await fleet.stop();
  const expected = { saysClose: COUNT - Number(moved), untold: 0, lost: 0, wrong: 0, doubled: 0, resets: 0 };
  assert.deepEqual({ saysClose, untold, lost, wrong, doubled, resets }, expected, JSON.stringify({ details, refused }));
}

it('server.maxConnections of the new generation', async (test) => {
  const stage = await moveStage(test, { env: { LATER_MAX_CONNECTIONS: String(ROOM) } });
  await somePart(stage, new Fleet({ port: stage.port, idle: COUNT - 10, busy: 10 }), async () => {});
});

it('the fd table of the new worker is almost full', async (test) => {
  const stage = await moveStage(test, { probation: '1s' });
  await somePart(stage, new Fleet({ port: stage.port, idle: COUNT - 10, busy: 10 }), async () => {
    const { pid } = await stage.facts();
    execFileSync('prlimit', ['--pid', String(pid), `--nofile=${fdCount(pid) + ROOM}:`]);
  });
});

/** Fewer fds than the supervisors and workers of two generations could have on their way at once (unix(7), ETOOMANYREFS). */
const FDS = 256;

it(`without root, ${FDS} fds a process and 200 connections: all move`, needsRoot, async (test) => {
  const space = workspace(test);
  for (const path of [space.dir, space.runtimeDir]) chownSync(path, USER, USER);
  chmodSync(space.dir, 0o755);
  const launcher = ['prlimit', `--nofile=${FDS}`, 'setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--clear-groups'];
  const stage = await stageIn(space, { launcher, env: { MOTYA_USER: undefined } });
  const fleet = new Fleet({ port: stage.port, idle: 180, busy: 20 });
  try {
    await allAt(fleet, 1);
    for (let deploy = 0; deploy < 2; deploy++) {
      await allAt(fleet, await stage.deploy());
      await stage.formerOnesEnd();
    }
    const said = stage.first.stderrLines.filter((line) => /ETOOMANYREFS|EMFILE/.test(line));
    assert.deepEqual(said, []);
  } finally {
    stage.assertUnnoticed(await fleet.stop());
  }
});

it('as many fds in every process after several deploys as before', async (test) => {
  const stage = await moveStage(test);
  const fleet = new Fleet({ port: stage.port, idle: 20, busy: 10 });
  /** Supervisor and worker. */
  const counts = async (): Promise<number[]> =>
    [(await stage.scene.status()).pid, (await stage.facts()).pid].map((pid) => fdCount(pid));
  try {
    await allAt(fleet, 1);
    const all: number[][] = [];
    for (let deploy = 0; deploy < 4; deploy++) {
      await allAt(fleet, await stage.deploy());
      await stage.formerOnesEnd();
      // The first successor is the first one that was started by an instance.
      const [before] = all;
      if (before === undefined) all.push(await counts());
      else {
        const isSame = async () => JSON.stringify(await counts()) === JSON.stringify(before);
        await until(isSame, { what: `${before} fds`, instead: counts });
      }
    }
  } finally {
    stage.assertUnnoticed(await fleet.stop());
  }
});
