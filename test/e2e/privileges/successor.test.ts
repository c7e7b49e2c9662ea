import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';

import { existsSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { Details } from '#src/base/errors.js';
import { app, CLI, isAlive, until } from '../harness/index.js';
import { failureOf, get, isRefused, outcomeOf, who } from '../scene.js';
import { DROPPED, GROUP, idsOf, lowPort, needsRoot, OURS, ownerOf, privilegedScene, USER } from './support.js';

const onlyRoot = (port: number): Details => ({
  service: 'web',
  listener: `tcp://127.0.0.1:${port}`,
  reason: 'EACCES',
  syscall: 'bind',
});

describe('a successor that root starts by hand', needsRoot, () => {
  it('binds what is new as root, is the user before its programs run, and hears nobody before it is live', async (test) => {
    const scene = await privilegedScene(test);
    const added = await lowPort();
    const socket = scene.space.path('added.sock');
    const first = await scene.first();
    scene.configure({
      listeners: [`tcp://127.0.0.1:${scene.port}`, `tcp://127.0.0.1:${added}`, `unix:${socket}`],
      listen: `${scene.port} ${added} ${socket}`,
    });
    const second = scene.start(['--upgrade']);
    await second.waitFor('waiting');
    assert.deepEqual(idsOf(second.pid), DROPPED);
    assert.equal(ownerOf(`${scene.runtime}/app.sock`), OURS);
    assert.equal(ownerOf(`${scene.runtime}/app.sock.lock`), OURS);
    assert.equal(ownerOf(socket), OURS);
    assert.equal(await isRefused(added), true, 'nobody hangs in a queue');

    first.kill('SIGQUIT');
    await second.waitFor('serving');
    assert.deepEqual([(await scene.who()).generation, (await who(added)).generation], ['2', '2']);
    for (const pid of await scene.processes()) assert.deepEqual(idsOf(pid), DROPPED);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });

    // And the user's own successor has it from then on.
    assert.equal((await scene.run('upgrade', '--name', 'app')).code, 0);
    assert.equal((await who(added)).generation, '3');
    assert.equal((await scene.run('stop', '--name', 'app')).code, 0);
    // Only root may write to its directory: whoever starts next finds that it is stale.
    assert.equal(existsSync(socket), true);
    scene.configure({ listeners: [`unix:${socket}`], listen: socket });
    await scene.first();
  });

  it('datagrams that come while it waits are nobody’s; those that come later are answered', async (test) => {
    const scene = await privilegedScene(test);
    const udp = await lowPort();
    await scene.first();
    const script = scene.space.write(
      'both.cjs',
      `require(${JSON.stringify(app('udp-echo.cjs'))});
      require('node:http').createServer((_, answer) => answer.end(process.env.MOTYA_GENERATION)).listen(${scene.port}, '127.0.0.1');`,
    );
    scene.configure({
      script,
      listeners: [`tcp://127.0.0.1:${scene.port}`, `udp://127.0.0.1:${udp}`],
      more: '',
    });
    const second = scene.start(['--upgrade'], { PORT: String(udp) });
    await second.waitFor('waiting');
    const client = createSocket('udp4');
    test.after(() => client.close());
    const answers: string[] = [];
    client.on('message', (message) => void answers.push(String(message)));
    client.send('early', udp, '127.0.0.1');
    assert.equal((await scene.run('upgrade', '--name', 'app')).code, 0);
    await until(
      () => {
        client.send('late', udp, '127.0.0.1');
        return answers.length > 0;
      },
      { what: 'an answer' },
    );
    assert.deepEqual(new Set(answers.map((answer) => answer.includes('early'))), new Set([false]), answers.join());
    assert.equal((await get(scene.port)).body, '2');
  });

  it('by force, in place of one that answers nothing: a port of root stays, and the user is the user', async (test) => {
    const scene = await privilegedScene(test);
    const first = await scene.first();
    first.kill('SIGSTOP');
    // Its memory says what its command is, and is its own: root would run whatever it has written there.
    const forced = await scene.run('upgrade', '--force', '--name', 'app', '--json');
    const { code, text, details } = outcomeOf(forced);
    const theirs = { pid: first.pid, uid: USER };
    assert.deepEqual([forced.code, code, details], [1, 'ERR_MOTYA_FOREIGN_INSTANCE', theirs], text);
    // What to type.
    assert.ok(text.includes('--upgrade --force'), text);
    assert.ok(isAlive(first.pid));
    // Nor may the user look into what was root once.
    const users = scene.space.start(
      'setpriv',
      [
        `--reuid=${USER}`,
        `--regid=${GROUP}`,
        '--clear-groups',
        process.execPath,
        CLI,
        'start',
        '--config',
        scene.config,
        '--upgrade',
        '--force',
      ],
      { env: scene.env, cwd: scene.temporary },
    );
    assert.deepEqual(await users.waitForExit(), { code: 1, signal: null });
    const denied = failureOf(users);
    assert.deepEqual([denied.code, (denied.details as Details).pid], ['ERR_MOTYA_COPY_DENIED', first.pid]);
    await scene.start(['--upgrade', '--force']).waitFor('serving');
    assert.equal((await first.waitForExit()).signal, 'SIGKILL');
    assert.equal((await scene.who()).generation, '2');
    const main = await until(() => scene.processes(), { what: 'its processes' });
    for (const pid of main) assert.deepEqual(idsOf(pid), DROPPED);
    assert.equal((await scene.run('upgrade', '--name', 'app')).code, 0);
    assert.equal((await scene.who()).generation, '3');
    assert.equal((await scene.run('stop', '--name', 'app')).code, 0);
  });

  it('that cannot bind what is new, or is refused, leaves nothing', async (test) => {
    const scene = await privilegedScene(test);
    await scene.first();
    const busy = await lowPort();
    const free = await lowPort();
    const holder = scene.space.node(['-e', `require('node:net').createServer().listen(${busy}, '127.0.0.1')`]);
    await until(async () => !(await isRefused(busy)), { what: 'the port to be taken' });
    scene.configure({ listeners: [free, busy].map((port) => `tcp://127.0.0.1:${port}`) });
    const second = scene.start(['--upgrade']);
    assert.deepEqual(await second.waitForExit(), { code: 1, signal: null });
    const { code, details } = failureOf(second);
    const { reason, listener, holder: found } = details as Details;
    assert.deepEqual(
      [code, reason, listener, found],
      ['ERR_MOTYA_LISTENER', 'EADDRINUSE', `tcp://127.0.0.1:${busy}`, holder.pid],
    );
    assert.equal((await scene.who()).generation, '1');
    assert.deepEqual(readdirSync(scene.runtime).sort(), [
      'app.admin.sock',
      'app.control.sock',
      'app.pid',
      'app.pid.lock',
    ]);
    assert.equal((await scene.run('upgrade', '--name', 'app')).code, 3, 'the user cannot bind it either');
    assert.equal((await scene.who()).generation, '1');
  });

  it('nothing to take over from: no file of root’s stays in the user’s directory', async (test) => {
    const scene = await privilegedScene(test);
    const second = scene.start(['--upgrade']);
    assert.deepEqual(await second.waitForExit(), { code: 1, signal: null });
    assert.equal(failureOf(second).code, 'ERR_MOTYA_NOTHING_TO_UPGRADE');
    for (const file of readdirSync(scene.runtime)) assert.equal(ownerOf(`${scene.runtime}/${file}`), OURS, file);
    await scene.first();
  });
});

describe('a successor of the user’s own', needsRoot, () => {
  it('cannot bind a new port below 1024: rejected with what to do, the incumbent serves on', async (test) => {
    const scene = await privilegedScene(test);
    const added = await lowPort();
    await scene.first();
    scene.configure({ listeners: [scene.port, added].map((port) => `tcp://127.0.0.1:${port}`) });
    const upgrade = await scene.run('upgrade', '--name', 'app', '--json');
    const { code, text, details } = outcomeOf(upgrade);
    assert.deepEqual([upgrade.code, code, details], [3, 'ERR_MOTYA_LISTENER', onlyRoot(added)]);
    // What to type, and whose it will be.
    assert.ok(text.includes('motya start --upgrade') && text.includes(String(USER)), text);
    assert.equal((await scene.who()).generation, '1');
    // The command is told a moment before the successor has ended.
    const files = 'app.admin.sock,app.control.sock,app.pid,app.pid.lock,app.sock.lock';
    await until(() => readdirSync(scene.runtime).sort().join() === files, { what: files });
  });

  it('whose incumbent is killed before the hand-over cannot bind its ports anew, and says who can', async (test) => {
    const scene = await privilegedScene(test);
    const first = await scene.first();
    const second = scene.start(['--upgrade']);
    await second.waitFor('waiting');
    first.kill('SIGKILL');
    assert.deepEqual(await second.waitForExit(), { code: 1, signal: null });
    assert.deepEqual([failureOf(second).code, failureOf(second).details], ['ERR_MOTYA_LISTENER', onlyRoot(scene.port)]);
    await scene.first();
  });
});
