import assert from 'node:assert/strict';
import { accessSync, constants, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { DEADLINE_MS, freePort, ROOT, readPidfile, type StartOptions, until, Workspace } from './harness/index.js';
import { who } from './scene.js';

/** ms for what compiles or downloads. */
const SLOW_MS = 5 * 60_000;
/** Everything that is made, not written: what a fresh clone does not have. */
const MADE = new Set(['.git', 'node_modules', 'dist', 'dist-test', 'build', 'prebuilds', 'schema']);
const OFFLINE = /\b(ENOTFOUND|ECONNREFUSED|EAI_AGAIN|ETIMEDOUT|ENOTCACHED|ECONNRESET|E403|E404)\b/;

interface Manifest {
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

/** The program: it says which Node runs it. */
const SERVER = `const http = require('node:http');
const answer = { pid: process.pid, generation: process.env.MOTYA_GENERATION, version: process.version };
http.createServer((request, response) => response.end(JSON.stringify(answer))).listen(process.env.PORT, '127.0.0.1');
`;

describe('the package', () => {
  const space = new Workspace();
  const clone = space.path('clone');
  const home = space.path('home');
  const installed = join(home, 'node_modules', 'motya');
  let tarball: string;
  /** Why the tests that need the registry cannot run; '' if they can. */
  let offline = '';

  /** Runs a command of npm to its end: with the user's own settings and cache, so that it can be had without a network. */
  const npm = async (command: string, args: string[], options: StartOptions = {}) => {
    const env = { HOME: homedir(), ...options.env };
    const child = space.start(command, args, { cwd: home, ...options, env });
    const exit = await child.waitForExit({ deadline: SLOW_MS });
    return { ...exit, stdout: child.stdout, stderr: child.stderr };
  };

  before(async () => {
    const keep = (path: string) => !(dirname(path) === dirname(join(ROOT, 'x')) && MADE.has(basename(path)));
    cpSync(ROOT, clone, { recursive: true, filter: keep });
    symlinkSync(join(ROOT, 'node_modules'), join(clone, 'node_modules'));
    const packed = await npm('npm', ['pack', '--json', '--pack-destination', space.dir], { cwd: clone });
    assert.equal(packed.code, 0, packed.stderr);
    const { version } = JSON.parse(readFileSync(join(clone, 'package.json'), 'utf8')) as Manifest;
    tarball = space.path(`motya-${version}.tgz`);
    // What runs the tests afterwards must find the addon where a build puts it, and no second one.
    assert.ok(existsSync(join(clone, 'build', 'Release', 'motya.node')));
    assert.equal(existsSync(join(clone, 'prebuilds')), false);

    mkdirSync(home);
    space.write('home/package.json', '{"private": true}');
    space.write('home/server.js', SERVER);
    const quiet = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
    const result = await npm('npm', ['install', ...quiet, tarball]);
    if (result.code !== 0 && OFFLINE.test(result.stderr)) offline = 'the dependencies are not to be had: no registry';
    else assert.equal(result.code, 0, result.stderr);
  });
  after(() => space.close());

  it('holds what is needed and nothing else', async () => {
    const { stdout } = await npm('tar', ['-tzf', tarball]);
    const files = stdout.trim().split('\n');
    const allowed = [
      /^package\/(package\.json|README\.md|LICENSE|binding\.gyp)$/,
      /^package\/dist\/([a-z0-9-]+\/)*[a-z0-9-]+(\.d)?\.c?[jt]s$/,
      /^package\/dist\/base\/vendor\/LICENSES\.txt$/,
      /^package\/dist\/status\/admin\/page\/[a-z]+\.(html|css|svg)$/,
      /^package\/native\/[a-z_]+\.(cc|h)$/,
      /^package\/schema\/motya\.schema\.json$/,
      /^package\/prebuilds\/linux-[a-z0-9]+\/[\w.-]+\.node$/,
    ];
    assert.deepEqual(
      files.filter((file) => !allowed.some((pattern) => pattern.test(file))),
      [],
    );
    const wanted = [
      'package.json',
      'README.md',
      'binding.gyp',
      'dist/cli/main.cjs',
      'dist/index.js',
      'dist/runtime/install.cjs',
      'dist/motya.cjs',
      'native/addon.cc',
      'schema/motya.schema.json',
    ];
    for (const file of wanted) assert.ok(files.includes(`package/${file}`), file);
    assert.equal(files.filter((file) => file.startsWith(`package/prebuilds/linux-${process.arch}/`)).length, 1);
  });

  it('has every file that its package.json names', (test) => {
    if (offline !== '') return test.skip(offline);
    const { bin, exports } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as Manifest;
    for (const [name, target] of Object.entries(exports)) {
      if (typeof target === 'string') {
        assert.ok(existsSync(join(installed, target)), name);
        continue;
      }
      // TypeScript takes the first condition that it knows.
      assert.equal(Object.keys(target)[0], 'types', name);
      for (const path of Object.values(target)) assert.ok(existsSync(join(installed, path)), path);
    }
    const command = join(installed, bin.motya as string);
    accessSync(command, constants.X_OK);
    assert.match(readFileSync(command, 'utf8'), /^#!\/usr\/bin\/env node\n/);
    // A compiled addon would be taken before the one that came with the package.
    assert.equal(existsSync(join(installed, 'build')), false);
    return undefined;
  });

  it('can be imported, required and type-checked', async (test) => {
    if (offline !== '') return test.skip(offline);
    const asModule = `import { loadSettings, Supervisor } from 'motya';
import { isWorker, ready } from 'motya/worker';
ready();
console.log(typeof Supervisor, typeof loadSettings, isWorker);`;
    const asScript = `const { isWorker, generation } = require('motya/worker');
console.log(typeof require('motya').Supervisor, isWorker, generation);`;
    space.write('home/module.mjs', asModule);
    space.write('home/script.cjs', asScript);
    const run = (file: string) => npm(process.execPath, [file]);
    assert.equal((await run('module.mjs')).stdout, 'function function false\n');
    assert.equal((await run('script.cjs')).stdout, 'function false 1\n');

    space.write(
      'home/typed.mts',
      `import { type Phase, loadSettings, Supervisor } from 'motya';
import { generation, onDrain } from 'motya/worker';
const supervisor: Supervisor = new Supervisor(loadSettings({ flags: { script: 'server.js' }, env: {}, cwd: '/' }));
supervisor.on('phase', ({ from, to, ms }) => console.log(from satisfies Phase, to satisfies Phase, ms + 1));
supervisor.on('serving', (serving) => console.log(serving.generation + generation));
onDrain(({ deadline }) => console.log(deadline + 1));
// @ts-expect-error there is no such event
supervisor.on('nonsense', () => {});
`,
    );
    const types = ['--types', 'node', '--typeRoots', join(ROOT, 'node_modules', '@types')];
    const compiler = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--skipLibCheck'];
    const checked = await npm(process.execPath, [compiler, ...options, ...types, 'typed.mts']);
    assert.equal(checked.code, 0, checked.stdout);
    return undefined;
  });

  for (const major of [20, 22, 24]) {
    it(`runs and upgrades a server by npx on Node ${major}`, async (test) => {
      if (offline !== '') return test.skip(offline);
      const node = await nodeOf(major, test, npm);
      if (node === undefined) return undefined;
      const port = await freePort();
      const env = { PATH: `${dirname(node)}:${process.env.PATH}`, PORT: String(port) };
      const options = { cwd: home, env };
      const first = space.start('npx', ['motya', 'start', 'server.js'], options);
      await first.waitFor('serving');
      const version = (await npm(node, ['-p', 'process.version'])).stdout.trim();
      const { pid, ...one } = await who(port);
      assert.deepEqual(one, { generation: '1', version });
      const upgraded = await npm('npx', ['motya', 'upgrade'], options);
      assert.equal(upgraded.code, 0, upgraded.stderr);
      const { pid: other, ...two } = await who(port);
      assert.deepEqual(two, { generation: '2', version });
      assert.notEqual(other, pid);
      assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
      const stopped = await npm('npx', ['motya', 'stop'], options);
      assert.equal(stopped.code, 0, stopped.stderr);
      await space.nothingLeft();
      return undefined;
    });
  }

  it('one Node takes over from another, up and down', async (test) => {
    if (offline !== '') return test.skip(offline);
    const port = await freePort();
    const options = { cwd: home, env: { PORT: String(port) } };
    const command = join(installed, 'dist', 'motya.cjs');
    const pidfile = `${space.runtimeDir}/motya/app.pid`;
    let generation = 0;
    for (const major of [20, 22, 24, 20]) {
      const node = await nodeOf(major, test, npm);
      if (node === undefined) return undefined;
      generation += 1;
      const before = readPidfile(pidfile);
      const flags = before === undefined ? [] : ['--upgrade'];
      const instance = space.start(node, [command, 'start', 'server.js', '--name', 'app', ...flags], options);
      if (before !== undefined) {
        await instance.waitFor('waiting');
        process.kill(before, 'SIGQUIT');
      }
      await instance.waitFor('serving');
      const { version, generation: now } = await who(port);
      assert.match(version ?? '', new RegExp(`^v${major}\\.`));
      assert.equal(now, String(generation));
    }
    const stopped = await npm(process.execPath, [command, 'stop', '--name', 'app'], options);
    assert.equal(stopped.code, 0, stopped.stderr);
    await until(() => space.processes().length === 0, { what: 'the end of all', deadline: DEADLINE_MS });
    return undefined;
  });
});

type Npm = (command: string, args: string[]) => Promise<{ code: number | null; stderr: string }>;

/** Path of a `node` of that version: this one, one from the cache, or one from the registry. Skips the test without it. */
async function nodeOf(major: number, test: TestContext, npm: Npm): Promise<string | undefined> {
  if (Number.parseInt(process.versions.node, 10) === major) return process.execPath;
  const name = `node-linux-${process.arch}`;
  const cache = join(process.env.XDG_CACHE_HOME ?? tmpdir(), `motya-test-node-${major}`);
  const node = join(cache, 'node_modules', name, 'bin', 'node');
  if (!existsSync(node)) {
    mkdirSync(cache, { recursive: true });
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund'];
    const { code, stderr } = await npm('npm', ['install', '--prefix', cache, ...quiet, `${name}@${major}`]);
    if (code !== 0) {
      if (!OFFLINE.test(stderr)) throw new Error(stderr);
      test.skip(`no Node ${major}: the registry cannot be reached`);
      return undefined;
    }
  }
  return node;
}
