import assert from 'node:assert/strict';
import { test } from 'node:test';
import { codeOf, placesIn, until, workspace } from '../../e2e/harness/index.js';
import { SERVER, sandboxEnvironment } from './support.js';

test('a program that cannot be drilled: one line says why', async (t) => {
  const space = workspace(t);
  const { env, left } = sandboxEnvironment(space);
  const refusals: [source: string, code: string, details: object, said?: string][] = [
    [
      "throw new Error('no database');",
      'ERR_MOTYA_PROGRAM',
      { service: 'server', end: 'exit status 1', ready: false },
      'no database',
    ],
    [
      "require('node:http').createServer().listen({ port: 80, reusePort: true });",
      'ERR_MOTYA_PROGRAM',
      { service: 'server', end: 'exit status 1', ready: false },
      'EADDRINUSE',
    ],
    [
      `require('node:child_process')
        .spawn(process.execPath, ['-e', "require('node:net').createServer().listen(80, function () { this.close(); })"], { env: { ...process.env, MOTYA_BRANCH_OF: undefined } })
        .on('exit', (code) => { throw new Error('the child ended with ' + code); });`,
      'ERR_MOTYA_PROGRAM',
      { service: 'server', end: 'exit status 1', ready: false },
      'the child ended with 1',
    ],
    ["require('node:dgram').createSocket('udp4').bind(53);", 'ERR_MOTYA_DRILL', { lacks: 'listener' }],
    [
      "require('node:http').createServer((_, response) => response.writeHead(503).end()).listen(80);",
      'ERR_MOTYA_DRILL',
      { path: '/', status: 503 },
    ],
  ];
  for (const [source, failure, details, said = ''] of refusals) {
    const script = space.write('server.js', source);
    const { code, stdout, stderr } = await space.run(['drill', script, '--json'], { env });
    assert.equal(code, 1, stderr);
    const answer = JSON.parse(stdout);
    assert.equal(answer.code, failure);
    assert.deepEqual({ ...answer.details, ...details }, answer.details);
    assert.ok(answer.text.includes(said), answer.text);
    assert.equal(codeOf(stderr), failure);
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
    assert.deepEqual([codeOf(stderr), placesIn(stderr)], ['ERR_MOTYA_SETTINGS', [{ key: flags[0] }]]);
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
  assert.equal(codeOf(interrupted.stderr), 'ERR_MOTYA_INTERRUPTED');
  assert.deepEqual([left(), space.processes()], [[], []]);
  const killed = await begin();
  assert.equal(space.processes().length > 1, true);
  killed.kill('SIGKILL');
  await until(() => space.processes().length === 0, { what: 'the end of its instance' });
});
