import { describe, test } from 'node:test';
import { workspace } from '../harness/index.js';
import { ProgramLife } from './life.js';
import { type Row, TABLE, titleOf } from './table.js';

/** Programs at a time: most of a life is waiting for probations. */
const AT_ONCE = 3;

/** Those that are not mended yet are tried with PENDING=1. */
const isLeftOut = ({ pending }: Row): string | false =>
  pending === undefined || process.env.PENDING === '1' ? false : `not yet: ${pending}`;

describe('programs', { concurrency: AT_ONCE }, () => {
  for (const row of TABLE) {
    test(`${titleOf(row)}: ${row.outcome}`, { skip: isLeftOut(row) }, async (context) => {
      const life = await ProgramLife.prepare(workspace(context), row);
      await life.run();
    });
  }
});
