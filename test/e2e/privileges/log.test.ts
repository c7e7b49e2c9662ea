import assert from 'node:assert/strict';
import { chownSync, existsSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { ROOT, readLogFile, until } from '../harness/index.js';
import { GROUP, needsRoot, OURS, ownerOf, privilegedScene, USER } from './support.js';

const events = (file: string): (string | undefined)[] => readLogFile(file).map(({ event }) => event);
const has = (file: string, event: string): Promise<boolean> =>
  until(() => events(file).includes(event), { what: `${event} in ${file}` });

describe('the log of an instance that root has started for a user', needsRoot, () => {
  it('in a directory of the user’s: rotated as always', async (test) => {
    const scene = await privilegedScene(test);
    const directory = scene.space.path('logs');
    mkdirSync(directory);
    chownSync(directory, USER, GROUP);
    const file = `${directory}/app.log`;
    const first = scene.start(['--log-file', file]);
    await has(file, 'serving');
    assert.equal(ownerOf(file), OURS);
    renameSync(file, `${file}.1`);
    first.kill('SIGHUP');
    await until(() => existsSync(file), { what: 'the new file' });
    assert.equal(ownerOf(file), OURS);
    assert.equal((await scene.run('upgrade', '--name', 'app')).code, 0);
    await has(file, 'handover');
    await has(file, 'serving');
  });

  it('in root’s directory: made for the user; the new file too is made by root (logrotate’s create)', async (test) => {
    const scene = await privilegedScene(test);
    const file = scene.space.path('app.log');
    const first = scene.start(['--log-file', file]);
    await has(file, 'serving');
    assert.equal(ownerOf(file), OURS);

    renameSync(file, `${file}.1`);
    first.kill('SIGHUP');
    await until(
      () => readLogFile(`${file}.1`).find(({ message }) => message.startsWith('the log file cannot be opened again')),
      {
        what: 'a warning in the old file, which stays in use',
      },
    );
    assert.equal(existsSync(file), false);

    writeFileSync(file, '', { mode: 0o640 });
    chownSync(file, USER, GROUP);
    first.kill('SIGHUP');
    assert.equal((await scene.run('upgrade', '--name', 'app')).code, 0);
    await has(file, 'handover');
    assert.ok(!events(`${file}.1`).includes('handover'));
  });

  it('that belongs to another user: one line, and the file is as it was', async (test) => {
    const scene = await privilegedScene(test);
    const file = scene.space.write('app.log', 'precious\n');
    const { code, stderr } = await scene.run('start', '--config', scene.config, '--log-file', file);
    assert.equal(code, 1);
    assert.match(stderr, /^motya: .*\n$/);
    for (const fact of [file, `user ${USER}`, 'chown']) assert.ok(stderr.includes(fact), stderr);
    assert.equal(ownerOf(file), '0:0');
  });

  it('behind a link of the user’s: root follows it nowhere', async (test) => {
    const scene = await privilegedScene(test);
    const target = scene.space.path('target');
    const home = scene.space.path('home');
    mkdirSync(target);
    mkdirSync(home);
    chownSync(home, USER, GROUP);
    symlinkSync(target, `${home}/logs`);
    writeFileSync(`${target}/there.log`, '');
    symlinkSync(`${target}/new.log`, `${home}/new.log`);
    symlinkSync(`${target}/there.log`, `${home}/there.log`);
    for (const file of ['logs/app.log', 'new.log', 'there.log']) {
      const { code, stderr } = await scene.run('start', '--config', scene.config, '--log-file', `${home}/${file}`);
      assert.equal(code, 1, file);
      assert.match(stderr, /cannot be opened by user 61234: EACCES/);
    }
    assert.deepEqual(readdirSync(target), ['there.log']);
    assert.equal(ownerOf(`${target}/there.log`), '0:0');
  });

  it('to a transport: its module is loaded once root has become the user, and one that fails ends the start', async (test) => {
    const scene = await privilegedScene(test);
    const folder = scene.space.path('user');
    mkdirSync(folder);
    chownSync(folder, USER, GROUP);
    const module = scene.space.write(
      'local.cjs',
      `const Transport = require(${JSON.stringify(`${ROOT}node_modules/winston-transport`)});
const { appendFileSync } = require('node:fs');
const file = ${JSON.stringify(`${folder}/lines`)};
appendFileSync(file, JSON.stringify({ level: 'info', message: '', event: 'loaded', uid: process.geteuid() }) + '\\n');
module.exports = class extends Transport {
  log(info, next) { appendFileSync(file, info[Symbol.for('message')] + '\\n'); next(); }
};
`,
    );
    scene.configure({ transports: `, transports: [{ module: ${module} }]` });
    scene.start([]);
    await has(`${folder}/lines`, 'serving');
    assert.equal(ownerOf(`${folder}/lines`), OURS);
    assert.equal(readLogFile(`${folder}/lines`).find(({ event }) => event === 'loaded')?.uid, USER);
    assert.equal((await scene.run('stop', '--name', 'app')).code, 0);

    scene.space.write('local.cjs', "throw new Error('broken');");
    const { code, logs } = await scene.run('start', '--config', scene.config);
    assert.deepEqual([code, logs.find(({ event }) => event === 'failed')?.code], [1, 'ERR_MOTYA_LOG_TRANSPORT']);
  });
});
