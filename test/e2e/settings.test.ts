import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import {
  app,
  type Child,
  freePorts,
  listeningInodes,
  placesIn,
  readLogFile,
  until,
  type Workspace,
  workspace,
} from './harness/index.js';
import { type FullStatus, get, isRefused, servesAs, who } from './scene.js';

/** A workspace whose instance is the one of its motya.yaml. */
function configured(test: TestContext): {
  space: Workspace;
  settings: (...lines: string[]) => void;
  start: () => Promise<Child>;
} {
  const space = workspace(test);
  // What the file says would come after it.
  delete space.env.MOTYA_LOG_LEVEL;
  return {
    space,
    settings: (...lines) => void space.write('motya.yaml', `${lines.join('\n')}\n`),
    start: async () => {
      const child = space.motya(['start']);
      await child.waitFor('serving');
      return child;
    },
  };
}

const multi = (addresses: readonly (number | string)[]): string =>
  `{ script: ${app('multi.mjs')}, env: { LISTEN: "${addresses.join(' ')}" } }`;

describe('motya.yaml', () => {
  it('runs several services, each with its own script, args, env, workers and listeners', async (test) => {
    const { space, settings, start } = configured(test);
    const [a, b, c] = (await freePorts(3)) as [number, number, number];
    settings(
      'name: app',
      'services:',
      `  web: { script: ${app('http.cjs')}, args: ["${a}"], workers: 2, env: { APP_VERSION: 3.0 }, nodeArgs: [--title=web] }`,
      `  api:`,
      `    script: ${app('http.mjs')}`,
      `    env: { PORT: ${b} }`,
      `    listeners: ["tcp://127.0.0.1:${b}", { listen: "tcp://127.0.0.1:${c}", backlog: 7 }]`,
      `    ready: listen`,
      `    drainTimeout: 2s`,
    );
    const first = await start();
    const { services, listeners } = await space.status<FullStatus>();
    assert.deepEqual(
      services.map(({ name, workers }) => [name, workers.length]),
      [
        ['web', 2],
        ['api', 1],
      ],
    );
    assert.deepEqual(
      listeners.map(({ key, service, backlog, declared }) => [key, service, backlog, declared]).sort(),
      [
        [`tcp://127.0.0.1:${a}`, 'web', 511, false],
        [`tcp://127.0.0.1:${b}`, 'api', 511, true],
        [`tcp://127.0.0.1:${c}`, 'api', 7, true],
      ].sort(),
    );
    assert.deepEqual([(await who(a)).version, (await who(b)).version], ['3', null]);
    assert.equal(listeningInodes(first.pid).size - controlSockets(first.pid), 3);
    // Which settings file is meant is known from the directory.
    assert.equal((await space.run(['upgrade'])).code, 0);
    assert.equal((await who(b)).generation, '2');
  });

  it('settings change by an upgrade: listeners are added, removed and kept, and the kept one never refuses', async (test) => {
    const { space, settings, start } = configured(test);
    const [kept, removed, added] = (await freePorts(3)) as [number, number, number];
    const socket = space.path('kept.sock');
    settings('services:', `  app: ${multi([kept, removed, socket])}`, 'drainTimeout: 5s');
    const first = await start();
    const file = statSync(socket);
    const [keptInode] = [...listeningInodes(first.pid)].find(([, what]) => what.includes(hexPort(kept))) ?? [];
    assert.deepEqual([(await get(kept)).status, (await get(removed)).status], [200, 200]);

    settings('services:', `  app: ${multi([added, kept, socket])}`, 'drainTimeout: 7s');
    let upgrading = true;
    let refused = 0;
    let asked = 0;
    const clients = (async () => {
      while (upgrading) {
        asked += 1;
        refused += (await isRefused(kept)) ? 1 : 0;
        assert.equal((await get(kept)).status, 200);
      }
    })();
    const { code, stderr } = await space.run(['upgrade']);
    upgrading = false;
    await clients;
    assert.equal(code, 0, stderr);
    assert.ok(asked > 10);
    assert.equal(refused, 0);
    assert.deepEqual([(await who(added)).generation, (await who(kept)).generation], ['2', '2']);
    assert.equal(await isRefused(removed), true);
    assert.equal(await getUnix(socket), '2');
    assert.deepEqual([statSync(socket).ino, statSync(socket).mode], [file.ino, file.mode]);

    const { pid, listeners } = await space.status<FullStatus>();
    assert.deepEqual(
      new Map(listeners.map(({ key, inherited }) => [key, inherited])),
      new Map([
        [`tcp://127.0.0.1:${kept}`, true],
        [`unix:${socket}`, true],
        [`tcp://127.0.0.1:${added}`, false],
      ]),
    );
    assert.ok(keptInode !== undefined && listeningInodes(pid).has(keptInode));
    assert.equal(listeningInodes(pid).size - controlSockets(pid), 3);
    await until(() => first.exit, { what: 'the end of the first' });
    // And back again: what was removed is free to be bound.
    settings('services:', `  app: ${multi([kept, removed])}`);
    assert.equal((await space.run(['upgrade'])).code, 0);
    assert.deepEqual([(await get(kept)).status, (await get(removed)).status], [200, 200]);
    assert.equal(await isRefused(added), true);
    assert.equal(existsSync(socket), false);
  });

  it('a listener moves from one service to another, a service goes and one comes', async (test) => {
    const { space, settings, start } = configured(test);
    const [a, b] = (await freePorts(2)) as [number, number];
    settings('services:', `  one: ${multi([a])}`, `  two: ${multi([b])}`);
    await start();
    settings('services:', `  three: ${multi([a, b])}`);
    const { code, stderr } = await space.run(['upgrade']);
    assert.equal(code, 0, stderr);
    assert.deepEqual([(await who(a)).generation, (await who(b)).generation], ['2', '2']);
    const { services } = await space.status<FullStatus>();
    assert.deepEqual(
      services.map(({ name }) => name),
      ['three'],
    );
  });

  it('drain and wait times, pidfile, socket and log come from it, relative to its directory', async (test) => {
    const { space } = configured(test);
    const [port] = (await freePorts(1)) as [number];
    space.write(
      'etc/site.yaml',
      [
        'name: site',
        'services:',
        `  web: { script: ${app('http.cjs')}, env: { PORT: ${port} } }`,
        'pidfile: site.pid',
        'upgradeSocket: site.sock',
        'onQuit: wait',
        'upgradeWait: 200ms',
        'log: { file: site.log, level: warn }',
      ].join('\n'),
    );
    const first = space.motya(['start', '--config', 'etc/site.yaml']);
    await until(() => existsSync(space.path('etc/site.pid')), { what: 'the pidfile' });
    assert.equal((await who(port)).generation, '1');
    first.kill('SIGQUIT');
    await until(
      () =>
        readLogFile(space.path('etc/site.log')).some(
          ({ code, details }) =>
            code === 'ERR_MOTYA_NO_SUCCESSOR' &&
            isDeepStrictEqual(details, { path: space.path('etc/site.sock'), ms: 200 }),
        ),
      {
        what: 'the line in the log file',
      },
    );
    assert.equal((await space.run(['stop', '--config', 'etc/site.yaml'])).code, 0);
    assert.equal(readLogFile(space.path('etc/site.log')).filter(({ level }) => level === 'info').length, 0);
  });

  it('two services declare the same listener: which', async (test) => {
    const { space, settings } = configured(test);
    const [port] = (await freePorts(1)) as [number];
    const service = `{ script: ${app('http.cjs')}, listeners: ["tcp://127.0.0.1:${port}"] }`;
    settings('services:', `  one: ${service}`, `  two: ${service}`);
    const start = space.motya(['start']);
    assert.deepEqual(await start.waitForExit(), { code: 2, signal: null });
    const [place, ...more] = placesIn(start.stderr);
    assert.deepEqual([place?.file, place?.line, place?.key], ['motya.yaml', 3, 'services.two.listeners.0']);
    assert.equal(more.length, 0);
    await space.nothingLeft();
  });
});

describe('flags, environment, file', () => {
  it('in this order', async (test) => {
    const { space, settings } = configured(test);
    const [port] = (await freePorts(1)) as [number];
    settings('name: file', 'services:', `  web: { script: ${app('http.cjs')}, env: { PORT: ${port} } }`);
    const env = { MOTYA_WORKERS: '3', MOTYA_NAME: 'variable', MOTYA_PIDFILE: 'v.pid', MOTYA_LOG_FORMAT: 'pretty' };
    const first = space.motya(['start', '--name', 'flag', '--log-format', 'json'], { env });
    await first.waitFor('serving');
    const status = await space.status<FullStatus>(['--name', 'flag']);
    assert.deepEqual(
      [status.name, status.services[0]?.workers.length, status.pidfile],
      ['flag', 3, space.path('v.pid')],
    );
    assert.equal((await space.run(['upgrade', '--name', 'flag'])).code, 0);
    await servesAs(first, 2);
    assert.equal((await space.status<FullStatus>(['--name', 'flag'])).services[0]?.workers.length, 3);
  });

  it('a wrong variable and an unknown one', async (test) => {
    const { space } = configured(test);
    const wrong = await space.run(['start', app('http.cjs')], { env: { MOTYA_WORKERS: 'many' } });
    assert.equal(wrong.code, 2);
    assert.deepEqual(placesIn(wrong.stderr), [{ key: 'MOTYA_WORKERS' }]);
    const unknown = await space.run(['check', app('http.cjs')], { env: { MOTYA_WORKER_COUNT: '2' } });
    assert.equal(unknown.code, 0);
    assert.match(unknown.stderr, /^warning: MOTYA_WORKER_COUNT: .*\n$/);
  });
});

describe('motya check and schema', () => {
  it('check says file, line and column of every mistake, and does nothing else', async (test) => {
    const { space, settings } = configured(test);
    settings(
      'services:',
      `  web: { script: ${app('http.cjs')}, workers: none }`,
      'drainTimout: 3s',
      'log: { level: loud }',
    );
    const { code, stdout, stderr } = await space.run(['check']);
    assert.deepEqual([code, stdout], [2, '']);
    const file = 'motya.yaml';
    const workers = `  web: { script: ${app('http.cjs')}, workers: `.length + 1;
    assert.deepEqual(placesIn(stderr), [
      { file, line: 2, column: workers, key: 'services.web.workers' },
      { file, line: 3, column: 1, key: 'drainTimout' },
      { file, line: 4, column: 15, key: 'log.level' },
    ]);
    for (const known of ['drainTimeout', 'error, warn, info, debug']) assert.ok(stderr.includes(known), stderr);
    assert.equal((await space.run(['start'])).stderr, stderr);
    assert.equal(existsSync(`${space.runtimeDir}/motya`), false);
  });

  it('check says what is valid', async (test) => {
    const { space, settings } = configured(test);
    settings('services:', `  web: { script: ${app('http.cjs')}, workers: 2 }`, `  api: { script: ${app('http.mjs')} }`);
    const { code, stdout } = await space.run(['check']);
    assert.deepEqual([code, stdout], [0, 'motya.yaml is valid: 2 services: web (2 workers), api (1 worker)\n']);
    const printed = JSON.parse((await space.run(['check', '--print'])).stdout) as { services: { name: string }[] };
    assert.deepEqual(
      printed.services.map(({ name }) => name),
      ['web', 'api'],
    );
  });

  it('schema prints the JSON Schema that the package carries', async (test) => {
    const { code, stdout } = await workspace(test).run(['schema']);
    assert.equal(code, 0);
    const schema = JSON.parse(stdout) as { $schema: string; properties: Record<string, { description?: string }> };
    assert.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema');
    for (const key of [
      'services',
      'pidfile',
      'upgradeSocket',
      'daemonize',
      'drainTimeout',
      'upgradeWait',
      'readyTimeout',
      'log',
    ]) {
      assert.ok((schema.properties[key]?.description ?? '').length > 10, key);
    }
  });
});

/** A port as /proc/net shows it. */
const hexPort = (port: number): string => `:${port.toString(16).toUpperCase().padStart(4, '0')}`;

/** Listening sockets of the process that are Motya's own. */
const controlSockets = (pid: number): number =>
  [...listeningInodes(pid).values()].filter((what) => /\/motya\//.test(what) || /proc\/self\/fd/.test(what)).length;

/** The generation that answers at a unix path. */
function getUnix(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path: '/', agent: false }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      response.on('end', () => resolve((JSON.parse(body) as { generation: string }).generation));
    });
    sent.on('error', reject);
    sent.end();
  });
}
