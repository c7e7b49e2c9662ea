import './unbundled.js';
import { register } from 'node:module';

/**
 * Loaded into supervisors and keepers of a test (`node --import`): the background work that the environment variable {@link FAILING}
 * names, as a {@link Failing} in JSON, fails.
 */
export interface Failing {
  readonly names: readonly string[];
  /** At its beginning, or when it is done. */
  readonly when: 'first' | 'last';
}

export const FAILING = 'TEST_FAILING_WORK';

const text = process.env[FAILING];
if (text !== undefined && process.argv[1]?.endsWith('/motya.cjs')) {
  const { names, when } = JSON.parse(text) as Failing;
  const failing = async (during: string, work: Promise<unknown>): Promise<void> => {
    const fails = names.includes(during);
    if (!fails || when === 'last') await work;
    if (fails) throw new Error(`injected: ${during}`);
  };
  Object.assign(globalThis, { failingWork: failing });
  register('./failing-work-hooks.js', import.meta.url);
}
