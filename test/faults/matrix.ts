import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { app, fdKinds, isAlive, listeningInodes, until } from '../e2e/harness/index.js';
import { ask, type Scene, scene } from '../e2e/scene.js';
import { type Action, FAULT, type Fault } from './inject.js';

export type Side = Fault['side'];

/** One thing that goes wrong once, at one place. */
export interface Case {
  readonly side: Side;
  readonly point: string;
  readonly nth: number;
  readonly action: Action;
}

const SIDES: readonly Side[] = ['incumbent', 'successor'];
const INJECT = pathToFileURL(fileURLToPath(new URL('./inject.js', import.meta.url))).href;
/** The upgrade of a case, as the injected processes see it; a process that looks at them sees no fault. */
const CLEAN = { [FAULT]: undefined };
const PROBATION = '1';
/** On a TCP port and on a unix path. */
const PROGRAM = `'use strict';
const { address, announce, handler } = require(${JSON.stringify(app('shared/handler.cjs'))});
const { createServer } = require('node:http');
createServer(handler).listen(process.env.SOCKET);
const server = createServer(handler);
server.listen(...address(), () => announce(server));
`;
/** ms in which a process must accept on every listener whatever has happened: the longest deadline that may have to pass. */
const ACCEPT_MS = 30_000;
/** ms for each question whether one does. */
const ANSWER_MS = 2_000;

export const nameOf = ({ side, point, nth, action }: Case): string =>
  `${side}: ${action} at ${point}${nth === 1 ? '' : ` (${nth})`}`;

/** Every point that an upgrade passes, on both sides, with every action that makes sense there. */
export async function allCases(test: TestContext): Promise<Case[]> {
  const cases: Case[] = [];
  for (const side of SIDES) {
    for (const [point, count] of await pointsOf(test, side)) {
      const actions: Action[] = point.startsWith('native')
        ? ['kill', 'stop', 'error', 'delay']
        : ['kill', 'stop', 'throw', 'delay'];
      // What is called again and again is tried in the middle of things, too.
      const times = count > 3 ? [1, Math.ceil(count / 2)] : [1];
      for (const nth of times) for (const action of actions) cases.push({ side, point, nth, action });
      // Each of these is another conversation that breaks.
      if (point === 'native channel.receive') {
        const others = Array.from({ length: count }, (_, before) => before + 1).filter((nth) => !times.includes(nth));
        for (const nth of others) cases.push({ side, point, nth, action: 'error' });
      }
    }
  }
  return cases;
}

async function pointsOf(test: TestContext, side: Side): Promise<Map<string, number>> {
  const stage = await stageWith(test, { side });
  const first = await stage.first();
  stage.space.write('armed', '');
  await upgrade(stage);
  await first.waitForExit();
  const points = new Map<string, number>();
  for (const point of readFileSync(stage.space.path('record'), 'utf8').trim().split('\n')) {
    points.set(point, (points.get(point) ?? 0) + 1);
  }
  return points;
}

async function stageWith(test: TestContext, fault: Partial<Fault> & { side: Side }): Promise<Scene> {
  const stage = await scene(test, '', PROGRAM);
  const whole: Fault = { ...fault, armed: stage.space.path('armed'), record: stage.space.path('record') };
  stage.space.nodeArgs.push('--import', INJECT);
  Object.assign(stage.space.env, {
    [FAULT]: JSON.stringify(whole),
    MOTYA_PROBATION: PROBATION,
    SOCKET: stage.space.path('app.sock'),
  });
  return stage;
}

const upgrade = (stage: Scene) => stage.space.run(['upgrade', '--name', 'app'], { env: CLEAN, deadline: 90_000 });

/** What must hold after any fault. @returns what became of the upgrade, for the table. */
export async function prove(test: TestContext, one: Case): Promise<string> {
  const stage = await stageWith(test, one);
  const first = await stage.first();
  const listeners = listenersOf(first.pid);
  const fds = fdKinds(first.pid);
  stage.space.write('armed', '');
  const upgrading = upgrade(stage);
  const victim = await until(() => fired(stage) ?? (first.exit === undefined ? null : 0), {
    what: 'the fault',
    deadline: ACCEPT_MS,
  }).catch(() => 0);
  if (one.action === 'stop' && victim > 0) {
    // An instance that is stopped serves again when it wakes, at the latest; while it sleeps another one must, if it is not the only one.
    await accepting(stage);
    process.kill(victim, 'SIGCONT');
  }
  const { code } = await upgrading;
  rmSync(stage.space.path('armed'), { force: true });

  const restarted = await serves(stage, one);
  await accepting(stage);
  // One main process, and no other pid in its pidfile.
  const main = await until(() => settled(stage), {
    what: 'one generation',
    deadline: ACCEPT_MS,
    instead: () => census(stage),
  });
  assert.deepEqual(listenersOf(main), listeners, 'its listeners');
  // A command's connection may be there for a moment.
  await until(() => beyond(fds, fdKinds(main)).length === 0, {
    what: 'no fd to be left over',
    instead: () => beyond(fds, fdKinds(main)),
  });
  assert.deepEqual(leftovers(stage, main), []);
  const next = await stage.space.run(['upgrade', '--name', 'app', '--detach'], { env: CLEAN });
  assert.equal(next.code, 0, `the next upgrade: ${next.stderr}`);
  await accepting(stage);
  return `${victim === 0 ? 'not reached; ' : ''}${outcomeOf(code)}${restarted ? ', started again by hand' : ''}`;
}

function outcomeOf(code: number | null): string {
  return (
    { 0: 'upgraded', 1: 'the command is cut off', 3: 'rejected', 6: 'rolled back' }[code ?? -1] ?? `exit status ${code}`
  );
}

function fired(stage: Scene): number | null {
  const record = stage.space.path('record');
  return existsSync(record) ? Number(readFileSync(record, 'utf8').trim()) : null;
}

/** TCP and unix. */
async function accepting(stage: Scene): Promise<void> {
  const socketPath = stage.space.path('app.sock');
  const answers = async (): Promise<boolean> => {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const tcp = { port: stage.port, host: '127.0.0.1' };
    const both = await Promise.all([ask({ ...tcp, signal }), ask({ socketPath, signal })]).catch(() => []);
    return both.length === 2 && both.every(({ status }) => status === 200);
  };
  await until(answers, { what: 'answers on both listeners', deadline: ACCEPT_MS, instead: () => census(stage) });
}

/** Points of a successor that has passed its probation: the listeners are its own alone, as those of an incumbent are. */
const ALONE: readonly string[] = ['send MOVED'];

/**
 * An instance that dies while its listeners are nowhere else leaves none: the one row of the table with an outage (a keeper or a
 * service manager with FileDescriptorStoreMax= has copies). Then a start by hand must find nothing in its way.
 */
async function serves(stage: Scene, { side, point, action }: Case): Promise<boolean> {
  const isOutage = action === 'kill' && (side === 'incumbent' || ALONE.includes(point));
  const look = async (): Promise<boolean> => (await settled(stage)) !== null;
  const nobody = (): boolean => isOutage && supervisors(stage).length === 0;
  await until(async () => nobody() || (await look()), {
    what: 'an instance that serves',
    deadline: ACCEPT_MS,
    instead: () => census(stage),
  });
  if (!nobody()) return false;
  await stage.first([], CLEAN);
  return true;
}

/** The pid of the only supervisor, once there is only one, which serves. */
async function settled(stage: Scene): Promise<number | null> {
  const [only, ...others] = supervisors(stage);
  if (only === undefined || others.length > 0 || stage.mainPid !== only) return null;
  const status = await stage.space.ask('app').catch(() => null);
  if (status === null) return null;
  const { pid, phase, probation, draining } = status;
  return pid === only && phase === 'serving' && probation === null && draining.length === 0 ? pid : null;
}

/** Processes of the stage that are no workers: these are started with a channel's preload. */
function supervisors(stage: Scene): number[] {
  return stage.space.processes().filter((pid) => {
    const line = commandOf(pid);
    return line.includes('motya.cjs') && line.includes('start');
  });
}

const commandOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
};

function census(stage: Scene): string[] {
  const pidfile = `pidfile: ${stage.mainPid}`;
  return [pidfile, ...stage.space.processes().map((pid) => `${pid} ${isAlive(pid) ? '' : 'ended '}${commandOf(pid)}`)];
}

/** What it listens on for programs, by inode's kind: the control socket is made anew, the rest keeps its inode. */
function listenersOf(pid: number): string[] {
  return [...listeningInodes(pid).values()].map((what) => what.replace(/fd\/\d+\/\.\d+/, 'fd')).sort();
}

/** What `now` has more of than `before`. */
function beyond(before: readonly string[], now: readonly string[]): string[] {
  const rest = [...before];
  return now.filter((kind) => {
    const at = rest.indexOf(kind);
    if (at >= 0) rest.splice(at, 1);
    return at < 0;
  });
}

/** Files of processes that have ended, in the directory of the sockets. */
function leftovers(stage: Scene, main: number): string[] {
  const directory = `${stage.space.runtimeDir}/motya`;
  return readdirSync(directory).filter((name) => {
    const pid = /\.(\d+)(\.|$)/.exec(name)?.[1];
    return pid !== undefined && Number(pid) !== main;
  });
}
