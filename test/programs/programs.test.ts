import { describe, test } from 'node:test';
import { workspace } from '../e2e/harness/index.js';
import { ProgramLife } from './life.js';
import { TABLE, titleOf } from './table.js';

/** Programs at a time: most of a life is waiting for probations. */
const AT_ONCE = 4;

describe('programs', { concurrency: AT_ONCE }, () => {
  for (const row of TABLE) {
    test(`${titleOf(row)}: ${row.outcome}`, async (context) => {
      const life = await ProgramLife.prepare(workspace(context), row);
      await life.run();
    });
  }
});
