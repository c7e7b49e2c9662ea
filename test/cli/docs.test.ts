import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { ROOT } from '../e2e/harness/index.js';

test('docs/cli.md is what the commands and scripts/docs make of it (npm run docs)', () => {
  const { status, stderr } = spawnSync(process.execPath, [`${ROOT}scripts/docs.mjs`, '--check'], { encoding: 'utf8' });
  assert.deepEqual([status, stderr], [0, '']);
});
