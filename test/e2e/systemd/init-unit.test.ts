import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { ROOT } from '../harness/index.js';
import { until } from '../harness/until.js';
import type { Sandbox } from './harness.js';
import { UNIT } from './shop.js';
import { onSystem } from './suite.js';

const PROGRAM = (version: number): string => `'use strict';
require('node:http').createServer((_, answer) => answer.end('version ${version} of ' + process.getuid())).listen(8080);
`;
const FILE = `/run/systemd/system/${UNIT}`;

/** Writes the unit for the app in the directory as its owner would, starts it, and replaces the program. */
async function prove(sandbox: Sandbox, directory: string, ...args: string[]): Promise<string> {
  const script = `${directory}/server.js`;
  const motya = async (...words: string[]) =>
    sandbox.run('sh', '-c', 'cd "$0" && exec motya "$@"', directory, ...words);
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

  test('docs/guides/deploying.md: its script deploys releases, and goes back when one fails; old ones may go', async ({
    sandbox,
  }) => {
    const guide = readFileSync(`${ROOT}docs/guides/deploying.md`, 'utf8');
    const [, script = ''] = /^```sh\n(#!\/bin\/sh\n# deploy-shop.*?)^```/ms.exec(guide) ?? [];
    sandbox.write(
      '/usr/local/bin/deploy-shop',
      script.replaceAll('shop;', `${UNIT};`).replaceAll('unit shop', `unit ${UNIT}`).replace('npx motya', 'motya'),
    );
    const put = (version: number, code = PROGRAM(version)): void => {
      sandbox.write(`/srv/shop/releases/${version}/server.js`, code);
      const settings = 'name: shop\nprobation: 1s\nservices: { web: { script: server.js } }\n';
      sandbox.write(`/srv/shop/releases/${version}/motya.yaml`, settings);
    };
    const deploy = (version: number) => sandbox.run('sh', '/usr/local/bin/deploy-shop', String(version));
    put(1);
    await sandbox.run('ln', '-s', 'releases/1', '/srv/shop/current');
    const written = await sandbox.run('sh', '-c', `cd /srv/shop/current && exec motya init systemd --output ${FILE}`);
    assert.deepEqual([written.code, written.stderr], [0, '']);
    await sandbox.manage('daemon-reload');
    await sandbox.manage('start', UNIT);
    for (const version of [2, 3]) {
      put(version);
      const deployed = await deploy(version);
      assert.equal(deployed.code, 0, deployed.stderr);
      assert.match(deployed.stdout, new RegExp(`^shop: generation ${version}, `));
      assert.match(await sandbox.get(8080), new RegExp(`^version ${version} `));
      sandbox.remove(`/srv/shop/releases/${version - 1}`);
    }
    put(4, 'oops(');
    const failed = await deploy(4);
    assert.equal(failed.code, 1);
    assert.match(failed.stdout, /SyntaxError/);
    assert.doesNotMatch(failed.stdout, /generation 2/, 'of this deployment alone');
    assert.match(await sandbox.get(8080), /^version 3 /);
    assert.equal((await sandbox.run('readlink', '/srv/shop/current')).stdout.trim(), 'releases/3');
    assert.notEqual((await deploy(5)).code, 0, 'no such release');
    assert.match((await sandbox.run('sh', '/usr/local/bin/deploy-shop')).stderr, /usage/);

    // Old releases go, but not one that is in use.
    const [, cleanUp = ''] = /^```sh\n(set -e\ncd -P .*?)^```/ms.exec(guide) ?? [];
    const clean = async (): Promise<[number | null, string]> => {
      const { code, stderr } = await sandbox.run('sh', '-c', cleanUp);
      assert.equal(stderr, '');
      return [code, (await sandbox.run('ls', '-v', '/srv/shop/releases')).stdout.trim().split('\n').join(' ')];
    };
    for (const version of [5, 6, 7, 8, 9, 10]) put(version);
    const inRelease4 = ['--unit', 'drains', '-p', 'WorkingDirectory=/srv/shop/releases/4', 'sleep', '1000'];
    await sandbox.run('systemd-run', '--quiet', ...inRelease4);
    try {
      assert.deepEqual(await clean(), [0, '3 4 6 7 8 9 10']);
    } finally {
      await sandbox.manage('stop', 'drains.service');
    }
    assert.deepEqual(await clean(), [0, '3 6 7 8 9 10']);
    await sandbox.run('mv', '/srv/shop/current', '/srv/shop/lost');
    assert.notEqual((await sandbox.run('sh', '-c', cleanUp)).code, 0);
    assert.match((await sandbox.run('ls', '/srv/shop/releases')).stdout, /^3$/m);
  });

  test('runs in a home directory that others may not enter, as its owner', async ({ sandbox }) => {
    const directory = '/home/alice/shop';
    sandbox.write(`${directory}/server.js`, PROGRAM(1));
    await sandbox.run('chown', '-R', 'games:games', '/home/alice');
    await sandbox.run('chmod', '0700', '/home/alice');
    try {
      const uid = await prove(sandbox, directory);
      assert.equal(uid, (await sandbox.run('id', '-u', 'games')).stdout.trim());
    } finally {
      await sandbox.run('rm', '-rf', '/home/alice');
    }
  });
});
