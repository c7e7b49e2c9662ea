import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { basename } from 'node:path';
import { describe, test } from 'node:test';
import { keptOutAt } from '#src/cli/init/readable.js';
import { type UnitFacts, unitFile } from '#src/cli/init/unit-file.js';
import { CLI, codeOf, lacks, type Place, placesIn, ROOT, workspace } from '../e2e/harness/index.js';

const me = userInfo().username;
const noSystemd = lacks('systemd-analyze');

/** The directives of a unit, as `Name=value` lines. */
const directives = (unit: string): string[] => unit.split('\n').filter((line) => /^[A-Z]\w*=/.test(line));
const valueIn = (unit: string, name: string): string | undefined =>
  directives(unit)
    .find((line) => line.startsWith(`${name}=`))
    ?.slice(name.length + 1);

const facts: UnitFacts = {
  name: 'shop',
  remarks: [],
  directory: '/srv/shop',
  node: '/usr/bin/node',
  motya: '/usr/bin/motya',
  startArguments: ['--config', '/srv/shop/motya.yaml'],
  targetArguments: ['--name', 'shop'],
  user: null,
  group: null,
  isInHome: false,
  isInTmp: false,
  hasLowPort: true,
  listeners: 1,
  writable: [],
  stopSeconds: 45,
  startSeconds: 75,
};

describe('motya init systemd', () => {
  test('writes a unit that systemd accepts, with the paths, times and capabilities of the app', {
    skip: noSystemd,
  }, async (test) => {
    const space = workspace(test);
    space.write('app/server.js', '');
    space.write(
      'app/motya.yaml',
      `name: shop
services:
  web: { script: server.js, listeners: ['tcp://0.0.0.0:443', 'unix:/srv/my sockets/web.sock'], drainTimeout: 2m, killGrace: 10s }
readyTimeout: 90s
log: { file: /var/log/shop/shop.log }
`,
    );
    const cwd = space.path('app');
    const { code, stdout, stderr } = await space.run(['init', 'systemd', '--user', me, '--log-level', 'debug'], {
      cwd,
    });
    assert.deepEqual([code, stderr], [0, '']);
    const file = space.write('shop.service', stdout);
    const verified = spawnSync('systemd-analyze', ['verify', '--recursive-errors=no', file], { encoding: 'utf8' });
    assert.deepEqual([verified.status, verified.stderr], [0, '']);

    const asRoot = me === 'root' ? ' --user root' : '';
    assert.equal(
      valueIn(stdout, 'ExecStart'),
      `${process.execPath} ${CLI} start --config ${cwd}/motya.yaml${asRoot} --log-level debug`,
    );
    assert.equal(valueIn(stdout, 'ExecReload'), `${process.execPath} ${CLI} upgrade --name shop`);
    assert.equal(valueIn(stdout, 'WorkingDirectory'), cwd);
    assert.equal(valueIn(stdout, 'RuntimeDirectory'), 'shop');
    assert.equal(valueIn(stdout, 'User'), me);
    assert.equal(valueIn(stdout, 'AmbientCapabilities'), 'CAP_NET_BIND_SERVICE');
    assert.equal(valueIn(stdout, 'ReadWritePaths'), '-/var/log/shop "-/srv/my sockets"');
    // 120 + 10 and a margin; more than readyTimeout, so that Motya's own reason comes first.
    const [stop, start] = ['TimeoutStopSec', 'TimeoutStartSec'].map((name) => Number(valueIn(stdout, name)));
    assert.ok(stop !== undefined && stop > 130 && stop < 145, String(stop));
    assert.ok(start !== undefined && start > 90 && start < 160, String(start));
    // It lies in /tmp, which the service is to see.
    assert.equal(valueIn(stdout, 'PrivateTmp'), undefined);
    assert.match(
      stdout,
      /^# Next, as root:|^# {3}systemctl daemon-reload\n# {3}systemctl enable --now shop\n# {3}systemctl reload shop/m,
    );
  });

  test('keeps to the unit of the examples', () => {
    const ours = unitFile(facts);
    const example = readFileSync(`${ROOT}examples/systemd/motya.service`, 'utf8');
    const apps = /^(Description|WorkingDirectory|Environment|Exec\w+|Timeout\w+)=/;
    const others = (unit: string): string[] =>
      directives(unit)
        .filter((line) => !apps.test(line))
        .sort();
    assert.deepEqual(others(ours), others(example));
  });

  test('gives no capability where no declared port needs one, and room for many listeners', () => {
    const unit = unitFile({ ...facts, hasLowPort: false, listeners: 50 });
    assert.equal(valueIn(unit, 'AmbientCapabilities'), undefined);
    assert.equal(valueIn(unit, 'CapabilityBoundingSet'), '');
    assert.equal(valueIn(unit, 'FileDescriptorStoreMax'), '100');
  });

  test('shows the service what lies in a home directory, and nothing may be written there', () => {
    const unit = unitFile({ ...facts, user: 'alice', group: 'web', isInHome: true });
    assert.deepEqual(
      ['User', 'Group', 'DynamicUser', 'ProtectHome'].map((name) => valueIn(unit, name)),
      ['alice', 'web', undefined, 'read-only'],
    );
  });

  test('quotes what a unit file would take for something else', () => {
    const unit = unitFile({ ...facts, directory: '/srv/50% off', startArguments: ['--', 'a $b', 'c"d\\', '', '%h'] });
    assert.equal(valueIn(unit, 'WorkingDirectory'), '/srv/50%% off');
    assert.equal(valueIn(unit, 'ExecStart'), '/usr/bin/node /usr/bin/motya start -- "a $$b" "c\\"d\\\\" "" %%h');
    assert.throws(() => unitFile({ ...facts, directory: '/srv/a\nb' }), /"\/srv\/a\\nb" cannot stand in a unit file/);
  });

  test('--output writes the file, once, and says what to type next', async (test) => {
    const space = workspace(test);
    space.write('server.js', '');
    const args = ['init', 'systemd', 'server.js', '--name', 'shop', '--user', me, '--output', 'web.service'];
    const { code, stdout, stderr } = await space.run([...args, '--', '--verbose', 'a b']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(
      stdout,
      /^web\.service is written\. Next, as root:\n {2}cp \S+\/web\.service \/etc\/systemd\/system\/\n {2}systemctl daemon-reload\n {2}systemctl enable --now web\n/,
    );
    const unit = readFileSync(space.path('web.service'), 'utf8');
    const asRoot = me === 'root' ? ' --user root' : '';
    assert.match(
      valueIn(unit, 'ExecStart') ?? '',
      new RegExp(`start ${space.path('server.js')} --name shop${asRoot} -- --verbose "a b"$`),
    );
    const again = await space.run(args);
    assert.deepEqual([again.code, codeOf(again.stderr)], [1, 'ERR_MOTYA_FILE_EXISTS']);
    assert.equal((await space.run([...args, '--force'])).code, 0);
    assert.doesNotMatch(readFileSync(space.path('web.service'), 'utf8'), /--verbose/);
  });

  test('finds the program of the directory, and names the unit after it', async (test) => {
    const space = workspace(test);
    space.write('index.js', '');
    const { code, stdout } = await space.run(['init', 'systemd', '--user', me]);
    assert.equal(code, 0);
    const name = basename(space.dir);
    assert.equal(valueIn(stdout, 'RuntimeDirectory'), name);
    assert.match(valueIn(stdout, 'ExecStart') ?? '', new RegExp(`start ${space.path('index.js')} --name ${name}`));
    space.write('bin/www', '');
    space.write('package.json', '{"name": "shop", "scripts": {"prestart": "make", "start": "node bin/www --port 80"}}');
    const started = await space.run(['init', 'systemd', '--user', me]);
    assert.match(
      valueIn(started.stdout, 'ExecStart') ?? '',
      new RegExp(`start ${space.path('bin/www')} --name shop .*-- --port 80$`),
    );
    assert.match(started.stdout, /^# It runs bin\/www --port 80: from the start script .*\n# not run by Motya: .*make/);
    // Only a settings file can say these.
    space.write('package.json', '{"scripts": {"start": "A=1 node -r ./x bin/www"}}');
    const refused = await space.run(['init', 'systemd', '--user', me]);
    assert.deepEqual([refused.code, refused.stdout], [2, '']);
    assert.match(
      refused.stderr,
      /^package\.json gives options of node \(-r \.\/x\), variables \(A\): motya init [^\n]*\n$/,
    );
  });

  test('what package.json and the path say stays in comments', async (test) => {
    const space = workspace(test);
    space.write('app.js', '');
    const line = '\n[Service]\nExecStartPre=+/bin/id\r\n';
    const active = (unit: string): string[] => unit.split(/[\r\n]/).filter((text) => !/^(#|$)/.test(text));
    const plain = await space.run(['init', 'systemd', 'app.js', '--name', 'shop', '--user', me]);
    assert.equal(plain.code, 0);
    const starts = [
      `pm2 start app.js --name 'x${line}'`,
      `pm2 start app.js '--x${line}y'`,
      `forever start --pidFile 'x${line}' app.js`,
      `node '--watch${line}' app.js`,
      `echo 'x${line}'; node app.js`,
      `true ${line}true; node app.js`,
    ];
    for (const start of starts) {
      space.write(
        'package.json',
        JSON.stringify({ name: 'shop', scripts: { start, prestart: line, poststart: line } }),
      );
      const { code, stdout, stderr } = await space.run(['init', 'systemd', '--user', me]);
      if (code === 2) assert.match(stderr, /^[^\n]+\n$/, start);
      else assert.deepEqual(active(stdout), active(plain.stdout), start);
    }
    const output = `x${line}.service`.replace('/bin/id', 'id');
    const written = await space.run(['init', 'systemd', 'app.js', '--name', 'shop', '--user', me, '--output', output]);
    assert.deepEqual([written.code, active(readFileSync(space.path(output), 'utf8'))], [0, active(plain.stdout)]);
  });

  test('what cannot be is one line, and nothing is written', async (test) => {
    const space = workspace(test);
    space.write('there.js', '');
    space.write('wrong.yaml', 'services: { web: { script: there.js } }\nname: a b\n');
    /** The place, or what has none there: the path that the message names. */
    const cases: [string[], Place | { path: string }][] = [
      [['init', 'systemd'], { path: space.dir }],
      [['init', 'systemd', 'gone.js'], { key: 'gone.js' }],
      [['init', 'systemd', '--config', 'wrong.yaml'], { file: 'wrong.yaml', line: 2, column: 7, key: 'name' }],
      [['init', 'systemd', 'there.js', '--user', 'no-such-user'], { key: '--user' }],
      [['init', 'systemd', 'there.js', '--drain-timeout', 'soon'], { key: '--drain-timeout' }],
    ];
    // A workspace is a directory that only its owner may enter.
    if (me === 'root') {
      cases.push([['init', 'systemd', 'there.js', '--user', 'nobody'], { path: space.dir }]);
      cases.push([['init', 'systemd', 'there.js'], { path: space.dir }]);
    }
    for (const [args, where] of cases) {
      const { code, stdout, stderr } = await space.run([...args, '--output', 'x.service']);
      assert.deepEqual([code, stdout, codeOf(stderr)], [2, '', 'ERR_MOTYA_SETTINGS'], args.join(' '));
      assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
      if ('path' in where) assert.ok(stderr.includes(where.path), stderr);
      else assert.deepEqual(placesIn(stderr), [where]);
    }
    assert.ok(!existsSync(space.path('x.service')));
  });

  test('knows what keeps a reader out', (test) => {
    const space = workspace(test);
    const file = space.write('directory/file', '');
    chmodSync(space.dir, 0o755);
    assert.equal(keptOutAt(file, null), null);
    chmodSync(space.path('directory'), 0o750);
    assert.equal(keptOutAt(file, null), space.path('directory'));
    assert.equal(keptOutAt(file, { uid: process.getuid?.() ?? 0, groups: [] }), null);
    chmodSync(space.path('directory'), 0o755);
    chmodSync(file, 0o640);
    assert.equal(keptOutAt(file, null), file);
    assert.equal(keptOutAt(file, { uid: 12345, groups: [process.getgid?.() ?? 0] }), null);
  });
});
