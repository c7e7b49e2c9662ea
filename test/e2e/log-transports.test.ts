import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { app, freePort, type LogLine, ROOT, readLogFile, until } from './harness/index.js';
import { type Scene, scene, who } from './scene.js';

const WINSTON = `${ROOT}node_modules/winston`;
const WINSTON_TRANSPORT = `${ROOT}node_modules/winston-transport`;

/** A server that takes what winston's Http transport sends: one line a request. */
async function collector(
  test: TestContext,
): Promise<{ port: number; lines: LogLine[]; hold: ServerResponse[] | null }> {
  const state = { port: 0, lines: [] as LogLine[], hold: null as ServerResponse[] | null };
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      state.lines.push(JSON.parse(body) as LogLine);
      if (state.hold === null) response.end();
      else state.hold.push(response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  state.port = (server.address() as AddressInfo).port;
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return state;
}

/** A scene whose settings have `transports`. */
async function sceneWith(test: TestContext, transports: string): Promise<Scene> {
  const stage = await scene(test, 'http.cjs');
  configure(stage, transports);
  return stage;
}

const configure = (stage: Scene, transports: string): string =>
  stage.space.write(
    'motya.yaml',
    `name: app
services:
  web: { script: ${stage.script} }
log:
  level: info
  transports:
${transports}
`,
  );

const start = (stage: Scene) =>
  stage.space.motya(['start'], { env: { PORT: String(stage.port), MOTYA_LOG_LEVEL: '' } });

/** A transport that writes its lines into the file `lines`; `body` is that of `log(info, next)`. */
const transport = (body: string): string => `'use strict';
const Transport = require(${JSON.stringify(WINSTON_TRANSPORT)});
const { appendFileSync } = require('node:fs');
module.exports = class Local extends Transport {
  constructor(options) { super(options); this.options = options; }
  log(info, next) { ${body} }
};
`;
const WRITES = `appendFileSync(this.options.file, info[Symbol.for('message')] + '\\n'); next(); this.emit('logged', info);`;

describe('transports of the log', () => {
  it('winston’s own Http gets every line of the supervisor over an upgrade, to the last, and none of a program', async (test) => {
    const { lines, port } = await collector(test);
    const stage = await sceneWith(
      test,
      `    - { module: ${WINSTON}, export: transports.Http, options: { host: 127.0.0.1, port: ${port} } }`,
    );
    const first = start(stage);
    await first.waitFor('serving');
    assert.equal((await stage.space.run(['upgrade', '--name', 'app'])).code, 0);
    await first.waitForExit();
    assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
    await stage.space.nothingLeft();
    // Both generations write to the same stderr.
    const written = first.logs.filter(({ service }) => service === undefined);
    const named = (all: readonly LogLine[]) => all.map(({ generation, event }) => `${generation} ${event}`).sort();
    await until(() => lines.length >= written.length, { what: 'all lines', instead: () => JSON.stringify(lines) });
    assert.deepEqual(named(lines), named(written));
    const serving = lines.find(({ event, generation }) => event === 'serving' && generation === 2);
    assert.deepEqual([serving?.level, typeof serving?.time, serving?.listeners], ['info', 'string', 1]);
    assert.ok(lines.some(({ event }) => event === 'ended' || event === 'drained' || event === 'stopping'));
  });

  it('a local module with options and a level of its own; a successor takes them from the settings of now', async (test) => {
    const stage = await sceneWith(
      test,
      `    - module: ./local.cjs
      level: warn
      options: { file: ./lines }`,
    );
    stage.space.write('local.cjs', transport(WRITES));
    stage.space.write('lines', '');
    const first = start(stage);
    await first.waitFor('serving');
    first.kill('SIGCONT');
    const file = stage.space.path('lines');
    process.kill(first.pid, 'SIGUSR2');
    await until(() => readLogFile(file).length > 0, { what: 'a warning' });
    assert.deepEqual(
      readLogFile(file).map(({ level, event }) => [level, event]),
      [['warn', 'ignored-signal']],
    );
    configure(stage, '    - { module: ./local.cjs, options: { file: ./lines } }');
    assert.equal((await stage.space.run(['upgrade', '--name', 'app'])).code, 0);
    await until(() => readLogFile(file).some(({ event }) => event === 'serving'), { what: 'a line of the successor' });
  });

  for (const [what, body] of [
    ['throws', "throw new Error('no more');"],
    ['says that it fails', "next(); this.emit('error', new Error('no more'));"],
    ['never asks for the next line', ''],
  ] as const) {
    it(`one that ${what}: the instance serves, logs and ends as without it`, async (test) => {
      const stage = await sceneWith(test, '    - { module: ./local.cjs }');
      stage.space.write('local.cjs', transport(body));
      const first = start(stage);
      await first.waitFor('serving');
      if (body !== '') {
        const { code, level } = await first.waitFor('log-transport');
        assert.deepEqual([code, level], ['ERR_MOTYA_LOG_TRANSPORT', 'warn']);
      }
      assert.equal((await who(stage.port)).generation, '1');
      assert.equal((await stage.space.run(['upgrade', '--name', 'app'])).code, 0);
      await first.waitForExit();
      const said = first.logs.filter(({ event, generation }) => event === 'log-transport' && generation === 1);
      assert.ok(said.length <= 1, 'it is said once');
      assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
      await stage.space.nothingLeft();
    });
  }

  it('a server that does not answer holds up neither the instance nor its end', async (test) => {
    const server = await collector(test);
    server.hold = [];
    const stage = await sceneWith(
      test,
      `    - { module: ${WINSTON}, export: transports.Http, options: { host: 127.0.0.1, port: ${server.port} } }`,
    );
    const first = start(stage);
    await first.waitFor('serving');
    first.kill('SIGTERM');
    const began = performance.now();
    assert.equal((await first.waitForExit()).code, 0);
    assert.ok(performance.now() - began < 10_000);
  });

  it('what cannot be loaded: one line with its place, and nothing is started', async (test) => {
    const stage = await sceneWith(test, '    - { module: ./none.cjs }');
    const { space } = stage;
    space.write('throws.cjs', "'use strict';\nthrow new Error('broken\\non purpose');\n");
    space.write('other.mjs', 'export const other = 1;\nexport default class { log() {} }\n');
    const cases: [transport: string, place: string, status: number][] = [
      ['{ module: ./none.cjs }', 'motya.yaml:7:17: log.transports.0.module: ', 2],
      ['{ module: no-such-package }', 'motya.yaml:7:17: log.transports.0.module: ', 2],
      ['{ modul: ./none.cjs }', 'motya.yaml:7:9: log.transports.0.modul: ', 2],
      ['{ module: ./throws.cjs, level: loud }', 'motya.yaml:7:38: log.transports.0.level: ', 2],
      ['{ module: ./throws.cjs }', 'motya: motya.yaml:7:17: log.transports.0: ', 1],
      ['{ module: ./other.mjs }', 'motya: motya.yaml:7:17: log.transports.0: ', 1],
      ['{ module: ./other.mjs, export: nothing.there }', 'motya: motya.yaml:7:17: log.transports.0: ', 1],
    ];
    for (const [text, place, status] of cases) {
      configure(stage, `    - ${text}`);
      const { code, stderr } = await space.run(['start'], { env: { PORT: String(stage.port) } });
      const lines = stderr.trim().split('\n');
      assert.equal(code, status, stderr);
      assert.ok(
        lines.some((line) => line.replace(/^motya: (?=motya.yaml.*module: )/, '').startsWith(place)),
        stderr,
      );
      assert.equal(lines.length, code === 2 && text.includes('modul:') ? 2 : 1, stderr);
      await space.nothingLeft();
    }
  });

  it('their options are secrets', async (test) => {
    const stage = await sceneWith(test, '    - { module: ./local.cjs, options: { token: hunter2 } }');
    stage.space.write('local.cjs', transport('next();'));
    const printed = async (...flags: string[]) => {
      const { stdout } = await stage.space.run(['check', '--print', ...flags]);
      return (JSON.parse(stdout) as { log: { transports: { options: object }[] } }).log.transports[0]?.options;
    };
    assert.deepEqual(await printed(), { token: '(hidden: --show-secrets)' });
    assert.deepEqual(await printed('--show-secrets'), { token: 'hunter2' });
    configure(stage, '    - { module: ./local.cjs, options: hunter2 }');
    const { code, stdout, stderr } = await stage.space.run(['check']);
    assert.deepEqual([code, `${stdout}${stderr}`.includes('hunter2')], [2, false]);
  });

  it('the library takes a transport, and events take any logger, such as one of winston', async (test) => {
    const stage = await scene(test, 'http.cjs');
    const port = await freePort();
    const script = stage.space.write(
      'own.mjs',
      `import { createRequire } from 'node:module';
const require = createRequire(${JSON.stringify(`${ROOT}test/`)});
const { createLogger, logEvents, resolveSettings, Supervisor } = await import(require.resolve('motya'));
const winston = require('winston');
const Transport = require('winston-transport');
const settings = resolveSettings(
  { name: 'own', services: { web: { script: ${JSON.stringify(app('http.cjs'))} } }, user: process.env.MOTYA_USER },
  { cwd: process.cwd(), env: process.env, source: null },
);
const said = [];
class Local extends Transport { log(info, next) { said.push(info.event); next(); } }
const supervisor = new Supervisor(settings);
const log = createLogger(settings.log, { transports: [new Local()] });
logEvents(supervisor, log);
const own = [];
const theirs = winston.createLogger({ transports: [new (class extends Transport { log(info, next) { own.push(info.event); next(); } })()] });
logEvents(supervisor, theirs);
await supervisor.start();
supervisor.stop();
await supervisor.ended;
await log.flush();
console.log(JSON.stringify({ said, own }));
process.exit();
`,
    );
    const { code, stdout, stderr } = await (async () => {
      const child = stage.space.node([script], { env: { PORT: String(port) } });
      return { ...(await child.waitForExit()), stdout: child.stdout, stderr: child.stderr };
    })();
    assert.equal(code, 0, stderr);
    const { said, own } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as { said: string[]; own: string[] };
    assert.deepEqual([said.includes('serving'), said.includes('stopping')], [true, true]);
    assert.deepEqual(own, said);
  });
});
