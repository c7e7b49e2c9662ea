import assert from 'node:assert/strict';
import { chmodSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { needsRoot, privilegedScene } from './support.js';

/** ms: a drill takes some ten seconds; this is for two busy cores. */
const DRILL_MS = 120_000;
const SECRET = 'of root alone\n';

/** Generation `WHEN` puts a link to root's file at `PUT`, seen from the directory that it is told of. */
const SERVER = `
const { rmSync, symlinkSync } = require('node:fs');
const { join } = require('node:path');
if (process.env.MOTYA_GENERATION === process.env.WHEN) {
  const path = join(process.env.MOTYA_SANDBOX.replace(/^\\d+:/, ''), process.env.PUT);
  rmSync(path, { force: true });
  symlinkSync(process.env.SECRET, path);
}
require('node:http').createServer((_, response) => response.end('ok')).listen(80);
`;

describe('a drill by root', needsRoot, () => {
  for (const [put, when, code, said] of [
    ['../motya.json', 1, 1, /^motya: service web: .*: Error: EACCES: permission denied, unlink '.*\/motya\.json'/],
    // The last that is read before the drill writes its settings anew.
    ['motya.json', 2, 0, /^$/],
    ['log', 1, 1, /^motya: .*: EACCES: permission denied, open '.*\/log' \(ERR_MOTYA_DRILL\)\n$/],
  ] as const) {
    it(`neither changes nor gives away a file that its program links to: ${put}`, async (test) => {
      const scene = await privilegedScene(test);
      const secret = scene.space.write('secret', SECRET);
      chmodSync(secret, 0o600);
      const before = lstatSync(secret);
      scene.space.write(
        'motya.yaml',
        readFileSync(scene.config, 'utf8')
          .replace(/script: .*/, `script: ${scene.space.write('server.cjs', SERVER)}`)
          .replace(/env: .*/, `env: { PUT: ${put}, WHEN: '${when}', SECRET: ${secret} }`)
          .replace(/listeners: .*/, ''),
      );
      const { env } = scene;
      const result = await scene.space.run(['drill', '--config', scene.config, '--upgrades', '1'], {
        env,
        deadline: DRILL_MS,
      });
      const after = lstatSync(secret);
      assert.equal(readFileSync(secret, 'utf8'), SECRET);
      assert.deepEqual([after.uid, after.mode, after.ctimeMs], [before.uid, before.mode, before.ctimeMs]);
      assert.equal(result.code, code, result.stdout + result.stderr);
      assert.match(result.stderr, said);
      assert.equal(result.stderr.split('\n').length - 1, code, result.stderr);
      assert.deepEqual(readdirSync(scene.temporary), []);
    });
  }
});
