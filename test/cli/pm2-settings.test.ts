import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { codeOf, placesIn, workspace } from '../e2e/harness/index.js';

test('a settings file of pm2 is refused as a program', async (test) => {
  const space = workspace(test);
  const apps = JSON.stringify({ apps: [{ name: 'shop', script: './bin/shop.js' }] });
  const code = 'require("node:fs").writeFileSync("ran", ""); module.exports = { apps: [] };';
  const files: [name: string, content: string, script: string | null][] = [
    ['ecosystem.config.js', code, null],
    ['ecosystem.config.cjs', code, null],
    ['ecosystem.config.mjs', 'export default { apps: [] };', null],
    ['ecosystem.json', apps, './bin/shop.js'],
    ['process.json', apps, './bin/shop.js'],
  ];
  for (const [name, content] of files) space.write(name, content);
  // A process each: start and check by turns.
  const results = await Promise.all(
    files.map(([name], index) => space.run([index % 2 === 0 ? 'start' : 'check', name])),
  );
  for (const [index, { code, stdout, stderr }] of results.entries()) {
    const [name = '', , script = null] = files[index] ?? [];
    assert.deepEqual([code, stdout], [2, ''], name);
    assert.deepEqual([codeOf(stderr), placesIn(stderr)], ['ERR_MOTYA_SETTINGS', [{ key: name }]], stderr);
    assert.ok(stderr.includes('motya init'), stderr);
    if (script !== null) assert.ok(stderr.includes(script), stderr);
  }
  // None of them was run to find out.
  assert.ok(!existsSync(space.path('ran')));

  // A program of that kind of name without apps is a program.
  space.write('process.json', '{}');
  space.write('ecosystem.js', '');
  for (const name of ['process.json', 'ecosystem.js']) assert.equal((await space.run(['check', name])).code, 0, name);
});
