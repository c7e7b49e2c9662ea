import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until, workspace } from '../../e2e/harness/index.js';
import { SERVER, sandboxEnvironment } from './support.js';

test('a program that cannot be drilled: one line says why', async (t) => {
  const space = workspace(t);
  const { env, left } = sandboxEnvironment(space);
  const refusals: [source: string, why: RegExp][] = [
    ["throw new Error('no database');", /^motya: service server: .* ended \(exit status 1\).*: Error: no database \(/],
    [
      "require('node:http').createServer().listen({ port: 80, reusePort: true });",
      /: Error: listen EADDRINUSE: the program binds :::80 past Motya .*no real address\n$/,
    ],
    [
      `require('node:child_process')
        .spawn(process.execPath, ['-e', "require('node:net').createServer().listen(80, function () { this.close(); })"], { env: { ...process.env, MOTYA_BRANCH_OF: undefined } })
        .on('exit', (code) => { throw new Error('the child ended with ' + code); });`,
      /: Error: the child ended with 1 \(/,
    ],
    ["require('node:dgram').createSocket('udp4').bind(53);", /^motya: the program listens on no TCP or unix socket: /],
    [
      "require('node:http').createServer((_, response) => response.writeHead(503).end()).listen(80);",
      /^motya: GET \/ of tcp:\/\/127\.0\.0\.1:\d+ is answered with status 503 before .*--path\n$/,
    ],
  ];
  for (const [source, why] of refusals) {
    const script = space.write('server.js', source);
    const { code, stdout, stderr } = await space.run(['drill', script], { env });
    assert.deepEqual([code, stdout], [1, ''], stderr);
    assert.match(stderr, why);
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
    assert.deepEqual([left(), space.processes()], [[], []]);
  }
  for (const flags of [
    ['--upgrades', '0'],
    ['--upgrades', 'many'],
    ['--path', 'index.html'],
  ]) {
    const { code, stderr } = await space.run(['drill', space.path('server.js'), ...flags], { env });
    assert.equal(code, 2);
    assert.match(stderr, new RegExp(`^${flags[0]}: must .*, not "${flags[1]}"\n$`));
  }
});

test('a drill that is interrupted or killed leaves no process', async (t) => {
  const space = workspace(t);
  const { env, left } = sandboxEnvironment(space);
  const script = space.write('server.js', SERVER);
  const begin = async () => {
    const drill = space.motya(['drill', script], { env: { ...env, PORT: '80' } });
    await drill.waitForStdout(/^8 clients ask for \//);
    return drill;
  };
  const interrupted = await begin();
  interrupted.kill('SIGINT');
  assert.equal((await interrupted.waitForExit()).code, 1);
  assert.equal(interrupted.stderr, 'motya: the drill was interrupted; nothing of it is left\n');
  assert.deepEqual([left(), space.processes()], [[], []]);
  const killed = await begin();
  assert.equal(space.processes().length > 1, true);
  killed.kill('SIGKILL');
  await until(() => space.processes().length === 0, { what: 'the end of its instance' });
});
