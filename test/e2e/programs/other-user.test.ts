import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../harness/index.js';
import { needsRoot, USER } from '../privileges/support.js';
import { get, program, scene } from '../scene.js';

/** A server of its own, at $OTHER_PORT. It answers with its user and what Motya has left in its NODE_OPTIONS. */
const CHILD = `require('node:http')
  .createServer((_, response) => response.end(JSON.stringify([process.geteuid(), process.env.NODE_OPTIONS ?? null])))
  .listen(Number(process.env.OTHER_PORT), '127.0.0.1', () => console.log('child listens'));`;

/** The supervisor talks to processes of its own user only: what such a child listens on is its own. */
describe('a child that is another user', needsRoot, () => {
  const starts = {
    'from its start': `require('node:child_process').spawn(process.execPath, ['-e', CHILD], { stdio: 'inherit', uid: ${USER} });`,
    'once it runs': `require('node:child_process').spawn(process.execPath, ['-e', 'process.setuid(${USER});' + CHILD], { stdio: 'inherit' });`,
  };
  for (const [when, start] of Object.entries(starts))
    it(`${when}: listens as under plain Node`, async (test) => {
      const port = await freePort();
      const stage = await scene(test, '', program('one', `const CHILD = ${JSON.stringify(CHILD)};${start}`));
      const first = await stage.first([], { OTHER_PORT: String(port) });
      await first.waitForSaid(/^child listens$/);
      const [user, options] = JSON.parse((await get(port)).body) as [number, string | null];
      assert.equal(user, USER);
      // It may be unable to read the file that is named there.
      if (when === 'from its start') assert.equal(options, null);
      assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
    });
});
