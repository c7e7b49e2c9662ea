import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { SettingsError } from '#src/base/errors.js';
import { type Flags, loadSettings } from '#src/config/load.js';
import { resolveSettings } from '#src/config/resolve.js';
import type { Settings } from '#src/config/settings.js';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'motya-load-'));
  writeFileSync(join(cwd, 'server.js'), '');
});
afterEach(() => rmSync(cwd, { recursive: true }));

const yaml = (text: string, name = 'motya.yaml'): void => writeFileSync(join(cwd, name), text);
const load = (flags: Flags = {}, env: NodeJS.ProcessEnv = {}): Settings =>
  loadSettings({ flags, env: { RUNTIME_DIRECTORY: '/run/user/7/motya', ...env }, cwd });
function problems(flags: Flags = {}, env: NodeJS.ProcessEnv = {}): string[] {
  try {
    load(flags, env);
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error));
    return error.message.split('\n');
  }
  assert.fail('the settings are valid');
}

describe('what runs', () => {
  test('without script and file: the welcome service', () => {
    const settings = load();
    assert.equal(settings.name, 'welcome');
    assert.equal(settings.services[0]?.name, 'welcome');
    assert.match(settings.services[0]?.script ?? '', /\/dist\/runtime\/welcome\.js$/);
    assert.equal(settings.pidfile, '/run/user/7/motya/welcome.pid');
    assert.equal(settings.runtimeDirectory, '/run/user/7/motya');
    assert.equal(settings.source, null);
  });

  test('a script on the command line is one service named after it; a motya.yaml beside it is not read', () => {
    yaml('nonsense: true');
    const settings = load({ script: 'server.js', args: ['-x', ''] });
    const [service] = settings.services;
    assert.equal(settings.services.length, 1);
    assert.equal(service?.name, 'server');
    assert.equal(service?.script, join(cwd, 'server.js'));
    assert.equal(service?.cwd, cwd);
    assert.deepEqual(service?.args, ['-x', '']);
    assert.match(settings.name, /^server-[0-9a-f]{8}$/);
    assert.equal(settings.upgradeSocket, `/run/user/7/motya/${settings.name}.sock`);
    assert.equal(settings.controlSocket, `/run/user/7/motya/${settings.name}.control.sock`);
  });

  test('a script may be typed as node takes it: without its ending, or as its directory', () => {
    assert.equal(load({ script: 'server' }).services[0]?.script, join(cwd, 'server'));
    writeFileSync(join(cwd, 'index.js'), '');
    assert.equal(load({ script: '.' }).services[0]?.script, cwd);
  });

  test('a file is found by its name; what is in it is relative to its directory', () => {
    mkdirSync(join(cwd, 'conf'));
    writeFileSync(join(cwd, 'conf', 'web.js'), '');
    yaml('services: {web: {script: web.js, listeners: ["unix:web.sock"]}}\nlog: {file: web.log}\n', 'conf/app.yaml');
    const settings = load({ config: 'conf/app.yaml' });
    assert.equal(settings.source, join(cwd, 'conf/app.yaml'));
    assert.equal(settings.services[0]?.script, join(cwd, 'conf/web.js'));
    assert.equal(settings.services[0]?.cwd, join(cwd, 'conf'));
    assert.equal(settings.log.file, join(cwd, 'conf/web.log'));
    assert.deepEqual(settings.services[0]?.listeners, [
      { family: 'unix', type: 'stream', path: join(cwd, 'conf/web.sock') },
    ]);
    assert.match(settings.name, /^app-[0-9a-f]{8}$/);
  });

  test('motya.yml is found too', () => {
    yaml('services: {web: {script: server.js}}', 'motya.yml');
    assert.equal(load().services[0]?.name, 'web');
  });

  test('a file and a script: only when the file names no services', () => {
    yaml('drainTimeout: 1m\n');
    assert.equal(load({ config: 'motya.yaml', script: 'server.js' }).drainTimeout, 60_000);
    yaml('drainTimeout: 1m\nservices: {web: {script: server.js}}\n');
    assert.deepEqual(problems({ config: 'motya.yaml', script: 'server.js' }), [
      'motya.yaml:2:1: services: a script (server.js) is given on the command line too; leave one of them out',
    ]);
  });
});

test('every setting arrives: ms, numbers, absolute paths, defaults', () => {
  yaml(`
name: shop
pidfile: run/shop.pid
upgradeSocket: run/shop.sock
daemonize: true
keeper: true
drainTimeout: 2m
drain: { streams: 15m }
upgradeWait: 500ms
readyTimeout: 1h
onQuit: wait
probation: 1m
health: {path: /ok, crashes: 2, errors: 0.5}
umask: '027'
log: {level: debug, format: json}
services:
  web:
    script: server.js
    args: [--port, '80']
    env: {PORT: 8080, DEBUG: true, NAME: x}
    workers: auto
    nodeArgs: [--enable-source-maps]
    ready: signal
    listeners:
      - tcp://0.0.0.0:80
      - {listen: 'tcp://[::]:443', ipv6Only: true, backlog: 9}
    drainTimeout: 1.5
    drain: { webSockets: 1h }
    killGrace: 0
  api:
    script: ./server.js
    cwd: /srv
`);
  const settings = load();
  assert.deepEqual(settings, {
    name: 'shop',
    pidfile: join(cwd, 'run/shop.pid'),
    upgradeSocket: join(cwd, 'run/shop.sock'),
    controlSocket: join(cwd, 'run/shop.control.sock'),
    runtimeDirectory: null,
    user: null,
    daemonize: true,
    keeper: true,
    upgrade: false,
    force: false,
    allowRemoved: false,
    adopt: null,
    drainTimeout: 120_000,
    drain: { http: 120_000, streams: 900_000, webSockets: 120_000, tcp: 120_000 },
    upgradeWait: 500,
    readyTimeout: 3_600_000,
    probation: 60_000,
    passedSignals: [],
    health: { path: '/ok', crashes: 2, errors: 0.5 },
    onQuit: 'wait',
    umask: 0o027,
    log: { level: 'debug', format: 'json', file: null, programs: 'tagged', transports: [] },
    source: join(cwd, 'motya.yaml'),
    sandbox: null,
    warnings: [],
    services: [
      {
        name: 'web',
        script: join(cwd, 'server.js'),
        cwd,
        args: ['--port', '80'],
        env: { PORT: '8080', DEBUG: 'true', NAME: 'x' },
        workers: availableParallelism(),
        nodeArgs: ['--enable-source-maps'],
        ready: 'signal',
        connections: 'move',
        listeners: [
          { family: 'inet', type: 'stream', address: '0.0.0.0', port: 80 },
          { family: 'inet6', type: 'stream', address: '::', port: 443, v6only: true, backlog: 9 },
        ],
        drainTimeout: 1500,
        drain: { http: 1500, streams: 1500, webSockets: 3_600_000, tcp: 1500 },
        killSignal: 'SIGTERM',
        killGrace: 0,
      },
      {
        name: 'api',
        script: join(cwd, 'server.js'),
        cwd: '/srv',
        args: [],
        env: {},
        workers: 1,
        nodeArgs: [],
        ready: 'listen',
        connections: 'move',
        listeners: [],
        drainTimeout: 120_000,
        drain: { http: 120_000, streams: 900_000, webSockets: 120_000, tcp: 120_000 },
        killSignal: 'SIGTERM',
        killGrace: 5000,
      },
    ],
    admin: {
      listener: { family: 'unix', type: 'stream', path: join(cwd, 'run/shop.admin.sock'), mode: 0o600 },
      isPrivate: true,
    },
  } satisfies Settings);
});

describe('precedence', () => {
  test('flag before variable before file before default', () => {
    yaml('services: {web: {script: server.js}}\ndrainTimeout: 1s\nlog: {level: warn}\n');
    const env = { MOTYA_DRAIN_TIMEOUT: '2', MOTYA_LOG_LEVEL: 'debug', MOTYA_WORKERS: '3', MOTYA_UPGRADE: 'yes' };
    assert.equal(load().drainTimeout, 1000);
    assert.equal(load({}, env).drainTimeout, 2000);
    assert.equal(load({ 'drain-timeout': '3s' }, env).drainTimeout, 3000);
    assert.equal(load({}, env).log.level, 'debug');
    assert.equal(load({}, env).services[0]?.workers, 3);
    assert.equal(load({ workers: '4' }, env).services[0]?.workers, 4);
    assert.equal(load({}, env).upgrade, true);
    assert.equal(load({ upgrade: false }, env).upgrade, false);
    assert.equal(load().upgradeWait, 5000);
  });

  test('keeper is true, false or auto', () => {
    yaml('services: {web: {script: server.js}}\nkeeper: false\n');
    assert.equal(load().keeper, false);
    assert.equal(load({}, { MOTYA_KEEPER: 'auto' }).keeper, 'auto');
    assert.equal(load({ keeper: true }, { MOTYA_KEEPER: 'auto' }).keeper, true);
    yaml('services: {web: {script: server.js}}\n');
    assert.equal(load().keeper, 'auto');
    assert.match(problems({}, { MOTYA_KEEPER: 'maybe' })[0] ?? '', /^MOTYA_KEEPER: must be true, false or auto/);
  });

  test('the former name of keeper, supervise, has the same precedence; beside keeper it must say the same', () => {
    yaml('services: {web: {script: server.js}}\nsupervise: true\n');
    assert.equal(load().keeper, true);
    assert.equal(load({}, { MOTYA_KEEPER: 'false' }).keeper, false);
    assert.equal(load({ keeper: false }).keeper, false);
    yaml('services: {web: {script: server.js}}\nkeeper: true\n');
    assert.equal(load({}, { MOTYA_SUPERVISE: 'false' }).keeper, false);
    assert.equal(load({ supervise: true }, { MOTYA_SUPERVISE: 'false' }).keeper, true);
    assert.deepEqual(load({}, { MOTYA_SUPERVISE: 'false' }).warnings, []);
    assert.equal(load({ keeper: false, supervise: false }).keeper, false);
    const beside = 'has another value; leave it out';
    assert.deepEqual(problems({ keeper: true, supervise: false }), [
      `--supervise: is the former name of --keeper and ${beside}`,
    ]);
    assert.deepEqual(problems({}, { MOTYA_KEEPER: 'true', MOTYA_SUPERVISE: 'auto' }), [
      `MOTYA_SUPERVISE: is the former name of MOTYA_KEEPER and ${beside}`,
    ]);
    yaml('services: {web: {script: server.js}}\nkeeper: auto\nsupervise: true\n');
    assert.deepEqual(problems(), [`motya.yaml:3:1: supervise: is the former name of keeper and ${beside}`]);
    yaml('services: {web: {script: server.js}}\nsupervise: maybe\n');
    assert.match(problems()[0] ?? '', /^motya\.yaml:2:12: supervise: must be true, false or auto/);
  });

  test('paths of flags and variables are relative to the working directory, not to the file', () => {
    mkdirSync(join(cwd, 'conf'));
    yaml('services: {web: {script: ../server.js}}\n', 'conf/motya.yaml');
    const settings = load({ pidfile: 'a.pid' }, { MOTYA_CONFIG: 'conf/motya.yaml', MOTYA_LOG_FILE: 'a.log' });
    assert.equal(settings.pidfile, join(cwd, 'a.pid'));
    assert.equal(settings.log.file, join(cwd, 'a.log'));
    assert.equal(settings.services[0]?.script, join(cwd, 'server.js'));
  });

  test('an empty variable is none; an unknown one is a warning', () => {
    const env = {
      MOTYA_NAME: '',
      MOTYA_WORKER: '{}',
      MOTYA_READY_FD: '3',
      MOTYA_GENERATION: '1',
      MOTYA_DRAIN_TIMOUT: '9',
      MOTYA_XYZ: '',
    };
    assert.deepEqual(load({}, env).warnings, [
      'MOTYA_DRAIN_TIMOUT: unknown variable; did you mean "MOTYA_DRAIN_TIMEOUT"?',
      'MOTYA_XYZ: unknown variable',
    ]);
  });
});

describe('drain', () => {
  const web = 'services: {web: {script: server.js}}\n';
  const times = (http: number, streams: number, webSockets: number, tcp: number) => ({
    http,
    streams,
    webSockets,
    tcp,
  });
  const ofWeb = () => load().services[0]?.drain;

  test('one duration is drainTimeout; kinds that an object does not name have drainTimeout', () => {
    yaml(`${web}drain: 1m\n`);
    assert.deepEqual([ofWeb(), load().drainTimeout], [times(60_000, 60_000, 60_000, 60_000), 60_000]);
    yaml(`${web}drain: {}\n`);
    assert.deepEqual(ofWeb(), times(30_000, 30_000, 30_000, 30_000));
    yaml(`${web}drain: {streams: 15m, tcp: 0}\ndrainTimeout: 10s\n`);
    assert.deepEqual(ofWeb(), times(10_000, 900_000, 10_000, 0));
  });

  test("a service's drain goes before its drainTimeout, and both before the instance's", () => {
    yaml('services: {web: {script: server.js, drain: {tcp: 5m}}}\ndrain: {webSockets: 1h, tcp: 1s}\n');
    assert.deepEqual(ofWeb(), times(30_000, 30_000, 3_600_000, 300_000));
    yaml('services: {web: {script: server.js, drain: {tcp: 5m}, drainTimeout: 2s}}\ndrain: {webSockets: 1h}\n');
    assert.deepEqual(ofWeb(), times(2000, 2000, 2000, 300_000));
  });

  test('--drain-timeout goes before one duration of the file, and not before a kind', () => {
    yaml(`${web}drain: 1m\n`);
    assert.equal(load({ 'drain-timeout': '3s' }).services[0]?.drain.webSockets, 3000);
    yaml(`${web}drain: {webSockets: 1h}\n`);
    assert.deepEqual(load({ 'drain-timeout': '3s' }).services[0]?.drain, times(3000, 3000, 3_600_000, 3000));
  });

  test('what is wrong is told with its place', () => {
    yaml(`services:
  web:
    script: server.js
    drain: {websockets: 1h, http: -1}
  api: {script: server.js, drain: 1s, drainTimeout: 2s}
drain: soon
`);
    assert.deepEqual(problems(), [
      'motya.yaml:4:13: services.web.drain.websockets: unknown key; allowed: http, streams, webSockets, tcp; did you mean "webSockets"?',
      "motya.yaml:4:35: services.web.drain.http: must be a number of seconds or a text such as '500ms', '5s', '2m' or '1h', not -1",
      `motya.yaml:6:8: drain: must be a duration such as '30s', or an object of http, streams, webSockets, tcp and durations, not "soon"`,
    ]);
    yaml('services:\n  web: {script: server.js, drain: 1s, drainTimeout: 2s}\n');
    const [problem = '', ...more] = problems();
    assert.deepEqual([problem.split(': ').slice(0, 2), more], [['motya.yaml:2:28', 'services.web.drain'], []]);
  });
});

describe('errors', () => {
  test('point at the line and column of what is wrong, all of them, in the order of the file', () => {
    yaml(`# a comment
services:
  web:
    script: server.js
    worker: 4
    ready: listn
    drainTimeout: soon
    listeners:
      - tcp://nowhere:80
      - {listen: unix:/x, bcklog: 5}
      - 7
  api:
    workers: 0
  "-bad": {script: gone.js}
umask: 022
daemonise: true
log: loud
`);
    assert.deepEqual(problems(), [
      'motya.yaml:5:5: services.web.worker: unknown key; allowed: script, args, cwd, env, workers, nodeArgs, ready, connections, listeners, drainTimeout, drain, killSignal, killGrace; did you mean "workers"?',
      'motya.yaml:6:12: services.web.ready: must be one of listen, signal, not "listn"; did you mean "listen"?',
      `motya.yaml:7:19: services.web.drainTimeout: must be a number of seconds or a text such as '500ms', '5s', '2m' or '1h', not "soon"`,
      'motya.yaml:9:9: services.web.listeners.0: must have a numeric address: IPv4, or IPv6 in brackets, not "tcp://nowhere:80"',
      'motya.yaml:10:27: services.web.listeners.1.bcklog: unknown key; allowed: listen, backlog, ipv6Only, mode; did you mean "backlog"?',
      `motya.yaml:11:9: services.web.listeners.2: must be a text such as 'tcp://0.0.0.0:80', 'tcp://[::]:443', 'udp://0.0.0.0:53', 'unix:/path', 'unix:@name' or 'systemd:name', not 7`,
      'motya.yaml:12:3: services.api.script: missing; it must be a text',
      'motya.yaml:13:14: services.api.workers: must be a whole number from 1 to 1024, or auto, not 0',
      'motya.yaml:14:3: services.-bad: the name must be 1 to 64 letters, digits, _ - or . and not begin with - or .',
      'motya.yaml:14:20: services.-bad.script: no such file',
      `motya.yaml:15:8: umask: must be octal digits in quotes, such as '022', not 22`,
      'motya.yaml:16:1: daemonise: unknown key; allowed: name, services, pidfile, upgradeSocket, user, group, daemonize, keeper, drainTimeout, drain, upgradeWait, readyTimeout, probation, health, signals, onQuit, umask, admin, log; did you mean "daemonize"?',
      'motya.yaml:17:6: log: must be an object of level, format, file, programs and transports, not "loud"',
    ]);
  });

  test('YAML that is none, and keys that are there twice', () => {
    yaml('services:\n  web: {script: server.js\n');
    assert.match(problems()[0] ?? '', /^motya\.yaml:\d+:\d+: /);
    yaml('name: a\nservices: {}\nname: b\n');
    assert.deepEqual(problems(), ['motya.yaml:3:1: the key is there twice']);
  });

  test('a file that is empty, is a list, or names no service', () => {
    yaml('');
    assert.deepEqual(problems(), [
      'motya.yaml:1:1: services: missing; name a service, or give a script on the command line',
    ]);
    yaml('- a\n');
    assert.deepEqual(problems(), ['motya.yaml:1:1: must be an object of settings']);
    yaml('log: {}\nservices: {}\n');
    assert.deepEqual(problems(), ['motya.yaml:2:11: services: must name at least one service']);
  });

  test('an alias is followed to what it stands for; a bomb of them is refused', () => {
    yaml('services:\n  a: &a\n    script: server.js\n    workers: no\n  b: *a\n');
    assert.deepEqual(problems(), [
      'motya.yaml:4:14: services.a.workers: must be a whole number from 1 to 1024, or auto, not "no"',
      'motya.yaml:4:14: services.b.workers: must be a whole number from 1 to 1024, or auto, not "no"',
    ]);
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x]',
      ...[...'bcdefgh'].map((n, i) => `${n}: &${n} [${Array(9).fill(`*${'abcdefgh'[i]}`)}]`),
    ];
    yaml(bomb.join('\n'));
    assert.match(problems()[0] ?? '', /^motya\.yaml:1:1: .*alias/i);
  });

  test('flags and variables are named instead of a place', () => {
    yaml('services:\n  a: {script: server.js}\n  b: {script: server.js}\n');
    assert.deepEqual(
      problems({ 'drain-timeout': 'x', workers: 'many' }, { MOTYA_LOG_LEVEL: 'inof', MOTYA_DAEMONIZE: 'maybe' }),
      [
        "--drain-timeout: must be a number of seconds or a text such as '500ms', '5s', '2m' or '1h', not \"x\"",
        '--workers: must be a whole number from 1 to 1024, or auto, not "many"',
        'MOTYA_DAEMONIZE: must be true or false, not "maybe"',
        'MOTYA_LOG_LEVEL: must be one of error, warn, info, debug, not "inof"; did you mean "info"?',
      ],
    );
    assert.deepEqual(problems({}, { MOTYA_UPGRADE: 'perhaps' }), ['MOTYA_UPGRADE: must be true or false']);
  });

  test('a script or a file that is not there, or is a directory', () => {
    assert.deepEqual(problems({ script: 'gone.js' }), ['gone.js: no such file']);
    assert.deepEqual(problems({ config: './gone.yaml' }), ['./gone.yaml: no such file']);
    assert.deepEqual(problems({ config: '.' }), ['.: is a directory']);
  });

  test('a script that may not be read', { skip: process.getuid?.() === 0 && 'root may read everything' }, () => {
    chmodSync(join(cwd, 'server.js'), 0);
    assert.deepEqual(problems({ script: 'server.js' }), ['server.js: cannot be read: permission denied']);
  });

  test('socket paths that the kernel cannot take', () => {
    const long = `/tmp/${'x'.repeat(103)}`;
    const at = (path: string): string => `${path} has ${path.length} bytes; the path of a unix socket has at most 107`;
    assert.equal(load({ 'upgrade-socket': `/tmp/${'x'.repeat(80)}.sock` }).upgradeSocket.length, 90);
    assert.deepEqual(problems({ 'upgrade-socket': long }), [
      `--upgrade-socket: ${at(long)}`,
      `--upgrade-socket: ${at(`${long}.control.sock`)}`,
    ]);
    assert.deepEqual(problems({}, { RUNTIME_DIRECTORY: `/${'x'.repeat(95)}/motya` }), [
      `upgradeSocket: ${at(`/${'x'.repeat(95)}/motya/welcome.sock`)}`,
      `upgradeSocket: ${at(`/${'x'.repeat(95)}/motya/welcome.control.sock`)}`,
    ]);
    yaml(`services: {a: {script: server.js, listeners: ["unix:${long}"]}}\n`);
    assert.deepEqual(problems(), [`motya.yaml:1:47: services.a.listeners.0: ${at(long)}`]);
  });
});

test('a program passes the same object; its errors name the key', () => {
  const context = { cwd, env: { RUNTIME_DIRECTORY: '/run/user/7/motya' }, source: null };
  const settings = resolveSettings({ services: { web: { script: 'server.js' } }, drainTimeout: 3 }, context);
  assert.equal(settings.drainTimeout, 3000);
  assert.match(settings.name, /^server-[0-9a-f]{8}$/);
  assert.throws(() => resolveSettings({ services: { web: { script: 'gone.js' } } }, context), {
    name: 'SettingsError',
    message: 'services.web.script: no such file',
  });
});

test('paths stay as they were typed through symlinks; only .. means the real parent', () => {
  mkdirSync(join(cwd, 'releases/7'), { recursive: true });
  mkdirSync(join(cwd, 'releases/shared'));
  writeFileSync(join(cwd, 'releases/7/app.js'), '');
  writeFileSync(join(cwd, 'releases/shared/lib.js'), '');
  symlinkSync('releases/7', join(cwd, 'current'));
  const from = (script: string, directory: string): Settings =>
    loadSettings({ flags: { script }, env: {}, cwd: join(cwd, directory) });
  const typed = from('app.js', 'current');
  assert.equal(typed.services[0]?.script, join(cwd, 'current/app.js'));
  assert.equal(typed.services[0]?.cwd, join(cwd, 'current'));
  assert.equal(from('current/app.js', '.').name, typed.name);
  assert.notEqual(from('app.js', 'releases/7').name, typed.name);
  assert.match(from('../shared/lib.js', 'current').services[0]?.script ?? '', /\/releases\/shared\/lib\.js$/);
});
