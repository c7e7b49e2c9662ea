import assert from 'node:assert/strict';
import { chmodSync, cpSync, realpathSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { type Child, childrenOf, commandLineOf, freePort, ROOT, until, workspace } from './harness/index.js';
import { ask, get, program, servesAs, who } from './scene.js';

const WAYS = [
  'spawn',
  'env',
  'exec',
  'fork',
  'spawnSync',
  'execSync',
  'execFileSync',
  'execSyncUndefined',
  'spawnSyncUndefined',
  'execFileSyncUndefined',
];

/** Answers at /children?SCRIPT with what the script says when it is started in each of the {@link WAYS}. */
const STARTS_CHILDREN = `
const children = require('node:child_process');
const { createServer } = require('node:http');
const env = { ...process.env };
const said = (child) => new Promise((resolve) => {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => { text += data; });
  child.on('close', () => resolve(text));
});
const line = (script) => JSON.stringify(process.execPath) + ' ' + JSON.stringify(script);
const ways = {
  spawn: (script) => said(children.spawn(process.execPath, [script])),
  env: (script) => said(children.spawn(process.execPath, [script], { env })),
  exec: (script) => said(children.exec(line(script))),
  fork: (script) => said(children.fork(script, { silent: true })),
  spawnSync: (script) => children.spawnSync(process.execPath, [script], { encoding: 'utf8' }).stdout,
  execSync: (script) => String(children.execSync(line(script))),
  execFileSync: (script) => children.execFileSync(process.execPath, [script], { env, encoding: 'utf8' }),
  execSyncUndefined: (script) => String(children.execSync(line(script), undefined)),
  spawnSyncUndefined: (script) => String(children.spawnSync(process.execPath, [script], undefined).stdout),
  execFileSyncUndefined: (script) => String(children.execFileSync(process.execPath, [script], undefined)),
};
require('node:http').createServer = (handler) => createServer(async (request, response) => {
  if (request.url === '/drop') process.setuid(65534);
  if (!request.url.startsWith('/children?')) return handler(request, response);
  const script = decodeURIComponent(request.url.slice('/children?'.length));
  const answers = {};
  for (const [name, way] of Object.entries(ways)) {
    try {
      // A shell complains of its directory first.
      answers[name] = (await way(script)).trim().split('\\n').at(-1);
    } catch (error) {
      answers[name] = error.message;
    }
  }
  response.end(JSON.stringify(answers));
});
`;

/** Releases with a Motya of their own in node_modules, and `current`, which leads to one of them. */
async function deployment(test: TestContext) {
  const space = workspace(test);
  const port = await freePort();
  const current = space.path('current');
  const root = realpathSync(space.dir);

  const deploy = (release: string, before = ''): void => {
    const at = `releases/${release}`;
    space.write(`${at}/server.cjs`, program(release, before).replace('...address()', 'Number(process.env.PORT)'));
    const own = space.path(at, 'node_modules/motya');
    for (const part of ['dist', 'package.json', 'build/Release/motya.node']) {
      cpSync(`${ROOT}${part}`, `${own}/${part}`, { recursive: true });
    }
    symlinkSync(`${ROOT}node_modules`, `${own}/node_modules`);
    space.write(`${at}/node_modules/.bin/x`, '');
    symlinkSync('../motya/dist/motya.cjs', space.path(at, 'node_modules/.bin/motya'));
    symlinkSync(at, space.path('next'));
    renameSync(space.path('next'), current);
  };
  /** As npx does it: npm resolves the symlinks of the directory, the shell keeps PWD. */
  const npx = (release: string, args: readonly string[], cwd = current): Child =>
    space.motya(args, { cli: `${root}/releases/${release}/node_modules/.bin/motya`, cwd, env: { PORT: String(port) } });
  const remove = (release: string) => rmSync(space.path('releases', release), { recursive: true });
  return { space, port, current, root, deploy, npx, remove };
}

describe('releases behind a symlink, each with its own Motya', () => {
  it('an instance that npx has started goes on when its release is removed, and the next one comes', async (test) => {
    const { space, port, current, deploy, npx, remove } = await deployment(test);
    deploy('1');
    const first = npx('1', ['start', 'server.cjs', '--name', 'app']);
    await first.waitFor('serving');
    deploy('2');
    remove('1');
    for (const path of ['/metrics', '/']) {
      const { status } = await ask({ socketPath: `${space.runtimeDir}/motya/app.admin.sock`, path });
      assert.equal(status, 200, path);
    }
    // A worker that crashes is started with what `current` leads to now.
    process.kill(childrenOf(first.pid)[0] as number, 'SIGKILL');
    await until(async () => (await who(port).catch(() => null))?.version === '2', { what: 'the new worker' });

    first.kill('SIGQUIT');
    const { pid } = await servesAs(first, 2);
    assert.equal(commandLineOf(pid as number)[1], `${current}/node_modules/.bin/motya`);
    deploy('3');
    remove('2');
    process.kill(pid as number, 'SIGQUIT');
    await servesAs(first, 3);
    assert.equal((await who(port)).version, '3');
  });

  it('the program still starts Node processes when its release is removed', async (test) => {
    const { space, port, deploy, npx, remove } = await deployment(test);
    const child = space.write('child.cjs', "console.log(process.env.NODE_OPTIONS === undefined ? 'plain' : 'part')");
    deploy('1', STARTS_CHILDREN);
    const first = npx('1', ['start', 'server.cjs', '--name', 'app']);
    await first.waitFor('serving');
    const started = async (): Promise<unknown> =>
      JSON.parse((await get(port, `/children?${encodeURIComponent(child)}`)).body);
    const everyWay = (what: string) => Object.fromEntries(WAYS.map((way) => [way, what]));
    assert.deepEqual(await started(), everyWay('part'));
    remove('1');
    assert.deepEqual(await started(), everyWay('plain'));
    // The same version of Motya is at the path that was typed.
    deploy('2');
    assert.deepEqual(await started(), everyWay('part'));
  });

  it('so does one that has given up root and cannot read the release', {
    skip: process.getuid?.() !== 0,
  }, async (test) => {
    const { space, port, deploy, npx } = await deployment(test);
    const child = space.write('child.cjs', "console.log(process.env.NODE_OPTIONS === undefined ? 'plain' : 'part')");
    deploy('1', STARTS_CHILDREN);
    chmodSync(space.dir, 0o755);
    chmodSync(space.path('releases'), 0o700);
    const first = npx('1', ['start', 'server.cjs', '--name', 'app', '--user', 'root']);
    await first.waitFor('serving');
    await get(port, '/drop');
    const { body } = await get(port, `/children?${encodeURIComponent(child)}`);
    assert.deepEqual(JSON.parse(body), Object.fromEntries(WAYS.map((way) => [way, 'plain'])));
  });

  it('a path that ends with its release: the rejection and the worker that cannot be restarted name it', async (test) => {
    const { space, root, deploy, npx, remove } = await deployment(test);
    deploy('1');
    // The path was typed whole, from another directory.
    const script = space.write('server.cjs', program('fixed').replace('...address()', 'Number(process.env.PORT)'));
    const first = npx('1', ['start', script, '--name', 'app'], space.dir);
    await first.waitFor('serving');
    deploy('2');
    remove('1');
    const { code, stdout } = await space.run(['upgrade', '--name', 'app', '--json']);
    assert.equal(code, 3);
    const answer = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { code: string; text: string };
    assert.equal(answer.code, 'ERR_MOTYA_FILE_MISSING');
    const own = `${root}/releases/1/node_modules`;
    assert.ok(answer.text.includes(`${own}/.bin/motya`), answer.text);

    process.kill(childrenOf(first.pid)[0] as number, 'SIGKILL');
    await first.waitFor(({ message }) => message.includes(`${own}/motya/dist/runtime/preload.cjs`), {
      what: 'the path that the new worker lacks',
    });
  });
});
