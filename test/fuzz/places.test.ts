import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { app, type Child, freePort, type Workspace, workspace } from '../e2e/harness/index.js';
import { failureOf, get } from '../e2e/scene.js';

/** Where the files of an instance are told to be. */
const FILES = ['app.pid', 'app.pid.lock', 'app.sock', 'app.control.sock'] as const;
const VICTIM = 'somebody’s only copy\n';

class Place {
  readonly space: Workspace;
  readonly directory: string;
  readonly victim: string;
  readonly port: number;

  constructor(space: Workspace, port: number) {
    this.space = space;
    this.port = port;
    this.directory = space.path('place');
    this.victim = space.write('victim', VICTIM);
    mkdirSync(this.directory);
    // As /tmp: everybody may make files, and nobody may remove another's.
    chmodSync(this.directory, 0o1777);
  }

  at(name: string): string {
    return `${this.directory}/${name}`;
  }

  start(): Child {
    const files = ['--pidfile', this.at('app.pid'), '--upgrade-socket', this.at('app.sock'), '--admin', 'off'];
    return this.space.motya(['start', app('http.cjs'), ...files], { env: { PORT: String(this.port) } });
  }

  unharmed(): void {
    assert.equal(readFileSync(this.victim, 'utf8'), VICTIM);
  }
}

async function placeFor(test: TestContext): Promise<Place> {
  return new Place(workspace(test), await freePort());
}

/** Serves, or says in one line why not. @returns whether it serves */
async function starts(child: Child): Promise<boolean> {
  const line = await child.waitFor(({ event }) => event === 'serving' || event === 'failed');
  if (line.event === 'serving') return true;
  assert.notEqual((await child.waitForExit()).code, 0);
  assert.equal(failureOf(child).message.includes('\n'), false);
  return false;
}

describe('what is at the paths of an instance already', () => {
  const THINGS: Readonly<Record<string, (path: string, place: Place) => void>> = {
    'a symlink to somebody’s file': (path, { victim }) => symlinkSync(victim, path),
    'a symlink to nowhere': (path, { directory }) => symlinkSync(`${directory}/nowhere`, path),
    'a directory': (path) => mkdirSync(path),
    'a file': (path) => writeFileSync(path, VICTIM),
    'a fifo': (path) => execFileSync('mkfifo', [path]),
  };
  for (const [what, make] of Object.entries(THINGS)) {
    it(`${what}: nothing is followed, nothing of others is lost`, async (t) => {
      const tryAt = async (name: (typeof FILES)[number]): Promise<void> => {
        const place = await placeFor(t);
        make(place.at(name), place);
        const before = lstatSync(place.at(name));
        const child = place.start();
        const serves = await starts(child);
        place.unharmed();
        assert.throws(() => lstatSync(place.at('nowhere')), { code: 'ENOENT' });
        // A stale pidfile is a file, and its place is taken, whatever leads away from it. What can be locked can be the lock.
        const mayServe =
          name === 'app.pid'
            ? !['a directory', 'a fifo'].includes(what)
            : name === 'app.pid.lock' && ['a file', 'a fifo'].includes(what);
        assert.equal(serves, mayServe, `${name}: ${serves ? 'serves' : failureOf(child).message}`);
        if (!serves) assert.equal(lstatSync(place.at(name)).ino, before.ino, 'it is left alone');
        child.kill('SIGTERM');
        await child.waitForExit();
      };
      await Promise.all(FILES.map(tryAt));
    });
  }

  it('somebody else who changes them all the time, in a directory for everybody', async (t) => {
    if (process.getuid?.() !== 0) return t.skip('needs root, which starts a process of another user');
    const place = await placeFor(t);
    const names = JSON.stringify(FILES.map((name) => place.at(name)));
    const attacker = place.space.start('setpriv', [
      ...['--reuid=65534', '--regid=65534', '--clear-groups', process.execPath, '-e'],
      `const { symlinkSync, unlinkSync, writeFileSync } = require('node:fs');
       const attempt = (act) => { try { act(); } catch {} };
       console.log('at it');
       for (let turn = 0; ; turn++) for (const name of ${names}) {
         attempt(() => (turn % 3 === 0 ? writeFileSync(name, 'mine', { flag: 'wx' }) : symlinkSync(${JSON.stringify(place.victim)}, name)));
         attempt(() => unlinkSync(name));
       }`,
    ]);
    await attacker.waitForSaid(/at it/);
    let served = 0;
    for (let time = 0; time < 4; time++) {
      const child = place.start();
      if (await starts(child)) {
        served += 1;
        assert.equal((await get(place.port)).status, 200);
        child.kill('SIGTERM');
        await child.waitForExit();
      }
      place.unharmed();
    }
    t.diagnostic(`served ${served} of 4 times`);
    attacker.kill('SIGKILL');
    await attacker.waitForExit();
  });
});
