import assert from 'node:assert/strict';
import { until } from '../harness/until.js';
import type { Sandbox } from './harness.js';
import { UNIT } from './shop.js';
import { onSystem } from './suite.js';

const PROGRAM = (version: number): string => `'use strict';
require('node:http').createServer((_, answer) => answer.end('version ${version} of ' + process.getuid())).listen(8080);
`;
const FILE = `/run/systemd/system/${UNIT}`;

/** Writes the unit for the app in the folder as its owner would, starts it, and replaces the program. */
async function prove(sandbox: Sandbox, folder: string, ...args: string[]): Promise<string> {
  const script = `${folder}/server.js`;
  const motya = async (...words: string[]) => sandbox.run('sh', '-c', 'cd "$0" && exec motya "$@"', folder, ...words);
  const written = await motya('init', 'systemd', '--output', FILE, ...args);
  assert.deepEqual([written.code, written.stderr], [0, '']);
  await sandbox.manage('daemon-reload');
  await sandbox.manage('start', UNIT);
  const answer = await sandbox.get(8080);
  assert.match(answer, /^version 1 of \d+$/);
  const before = await sandbox.show(UNIT, 'MainPID');
  sandbox.write(script, PROGRAM(2));
  await sandbox.manage('reload', UNIT);
  assert.equal(await sandbox.get(8080), answer.replace('1', '2'));
  await until(async () => (await sandbox.show(UNIT, 'MainPID')).MainPID !== before.MainPID, {
    what: 'the new main pid',
  });
  // An administrator finds it without saying where its sockets are.
  const status = await sandbox.run('motya', 'status', '--name', 'shop', '--json');
  assert.equal(status.code, 0, status.stderr);
  assert.equal((JSON.parse(status.stdout) as { generation: number }).generation, 2);
  assert.equal((await sandbox.run('motya', 'status')).code, 0);
  sandbox.write(script, 'oops(');
  const failed = await sandbox.systemctl('reload', UNIT);
  assert.notEqual(failed.code, 0);
  assert.match(await sandbox.journal(), /motya: the upgrade was rejected: .*serves on/);
  assert.equal(await sandbox.get(8080), answer.replace('1', '2'));
  return answer.replace(/.* /, '');
}

await onSystem('the unit of motya init systemd', 'host', (test) => {
  test('runs, reloads and refuses a broken version, as a user that systemd makes up', async ({ sandbox }) => {
    sandbox.write('/srv/shop/server.js', PROGRAM(1));
    const uid = await prove(sandbox, '/srv/shop', 'server.js');
    assert.ok(Number(uid) >= 61_184, uid);
  });

  test('follows a symlink from release to release, also when the first one is removed', async ({ sandbox }) => {
    const deploy = async (version: number, code = PROGRAM(version)): Promise<void> => {
      sandbox.write(`/srv/shop/releases/${version}/server.js`, code);
      const settings = 'name: shop\nprobation: 1s\nservices: { web: { script: server.js } }\n';
      sandbox.write(`/srv/shop/releases/${version}/motya.yaml`, settings);
      const link = `ln -sfn releases/${version} next && mv -T next current`;
      assert.equal((await sandbox.run('sh', '-c', `cd /srv/shop && ${link}`)).code, 0);
    };
    await deploy(1);
    const written = await sandbox.run('sh', '-c', `cd /srv/shop/current && exec motya init systemd --output ${FILE}`);
    assert.deepEqual([written.code, written.stderr], [0, '']);
    await sandbox.manage('daemon-reload');
    await sandbox.manage('start', UNIT);
    for (const version of [2, 3]) {
      await deploy(version);
      await sandbox.manage('reload', UNIT);
      assert.match(await sandbox.get(8080), new RegExp(`^version ${version} `));
      sandbox.remove(`/srv/shop/releases/${version - 1}`);
    }
    await deploy(4, 'oops(');
    assert.notEqual((await sandbox.systemctl('reload', UNIT)).code, 0);
    assert.match(await sandbox.get(8080), /^version 3 /);
  });

  test('runs in a home folder that others may not enter, as its owner', async ({ sandbox }) => {
    const folder = '/home/alice/shop';
    sandbox.write(`${folder}/server.js`, PROGRAM(1));
    await sandbox.run('chown', '-R', 'games:games', '/home/alice');
    await sandbox.run('chmod', '0700', '/home/alice');
    try {
      const uid = await prove(sandbox, folder);
      assert.equal(uid, (await sandbox.run('id', '-u', 'games')).stdout.trim());
    } finally {
      await sandbox.run('rm', '-rf', '/home/alice');
    }
  });
});
