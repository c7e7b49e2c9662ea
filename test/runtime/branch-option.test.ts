import assert from 'node:assert/strict';
import { test } from 'node:test';
import { optionFor, PRELOAD, withBranchAt, withoutBranch } from '#src/runtime/branch-option.js';

test('what is put in front of NODE_OPTIONS is found there again', () => {
  for (const preload of [PRELOAD, `/a "quoted" path/$&${PRELOAD}`]) {
    const options = `${optionFor(preload)} --max-old-space-size=100`;
    assert.equal(withoutBranch(options), '--max-old-space-size=100');
    assert.equal(
      withBranchAt('/new/runtime/branch-preload.cjs', options),
      `${optionFor('/new/runtime/branch-preload.cjs')} --max-old-space-size=100`,
    );
    assert.equal(withoutBranch(optionFor(preload)), undefined);
  }
  assert.equal(withoutBranch('--require "/x/preload.cjs"'), '--require "/x/preload.cjs"');
});
