import type { TestContext } from 'node:test';
import { type Child, type LogLine, listeningInodes, until } from '../e2e/harness/index.js';
import { type Scene, scene } from '../e2e/scene.js';

/** A keeper, once its first instance serves and it holds a copy of the listener. */
export async function kept(test: TestContext, args: readonly string[] = []): Promise<{ stage: Scene; keeper: Child }> {
  const stage = await scene(test);
  const keeper = await stage.first(['--keeper', ...args]);
  await holds(keeper.pid, 1);
  return { stage, keeper };
}

/** Waits until the keeper holds copies of `count` TCP listeners. */
export async function holds(keeper: number, count: number): Promise<void> {
  const tcp = () => [...listeningInodes(keeper).values()].filter((what) => what.startsWith('tcp'));
  await until(() => tcp().length === count, { what: `${count} listeners in the keeper`, instead: tcp });
}

const serving = (child: Child): LogLine[] => child.logs.filter(({ event }) => event === 'serving');

/** Kills the main instance and waits until another one serves. */
export async function crash(stage: Scene, keeper: Child): Promise<void> {
  const before = serving(keeper).length;
  process.kill(stage.mainPid as number, 'SIGKILL');
  await until(() => serving(keeper).length > before, { what: 'the next instance', instead: () => keeper.describe() });
}
