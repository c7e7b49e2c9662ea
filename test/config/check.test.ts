import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const runner = fileURLToPath(new URL('../../test/fixtures/config/run-command.mjs', import.meta.url));
/** A program runs as root only when told to. */
const asRoot = process.getuid?.() === 0 ? { MOTYA_USER: 'root' } : {};
let cwd: string;
before(() => {
  cwd = realpathSync(mkdtempSync(join(tmpdir(), 'motya-check-')));
  writeFileSync(join(cwd, 'server.js'), '');
});
after(() => rmSync(cwd, { recursive: true }));

function run(...words: string[]) {
  const env = { ...process.env, RUNTIME_DIRECTORY: '/run/user/7/motya', ...asRoot };
  const { status, stdout, stderr } = spawnSync(process.execPath, [runner, ...words], { cwd, env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('valid settings: what they are, in one line', () => {
  writeFileSync(
    join(cwd, 'motya.yaml'),
    'services: {web: {script: server.js, workers: 2}, api: {script: server.js}}\n',
  );
  assert.deepEqual(run('check', 'check'), {
    status: 0,
    stdout: 'motya.yaml is valid: 2 services: web (2 workers), api (1 worker)\n',
    stderr: '',
  });
  assert.equal(run('check', 'check', 'server.js').stdout, 'server.js is valid: 1 service: server (1 worker)\n');
});

test('wrong settings: a line for each problem on stderr, and status 2', () => {
  writeFileSync(join(cwd, 'motya.yaml'), 'services:\n  web: {script: gone.js}\nnme: x\n');
  const { status, stdout, stderr } = run('check', 'check');
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(
    stderr,
    /^motya\.yaml:2:17: services\.web\.script: no such file\nmotya\.yaml:3:1: nme: unknown key; .*\n$/,
  );
});

test('it takes the flags of start, and refuses what start refuses', () => {
  assert.deepEqual(run('check', 'check', '--workers', '2', 'server.js'), {
    status: 0,
    stdout: 'server.js is valid: 1 service: server (2 workers)\n',
    stderr: '',
  });
  writeFileSync(
    join(cwd, 'away.yaml'),
    'services:\n  web: {script: server.js, cwd: gone}\n  api: {script: server.js, cwd: server.js}\n',
  );
  for (const [args, line] of [
    [['--workers', 'x', 'server.js'], /^--workers: /],
    [['--force', 'server.js'], /^--force: goes with --upgrade/],
    [['--keeper', '--upgrade', 'server.js'], /^--keeper: cannot be used with --upgrade/],
    [['--supervise', '--upgrade', 'server.js'], /^--keeper: cannot be used with --upgrade/],
    [['--no-supervise', '--keeper', 'server.js'], /^--supervise: is the former name of --keeper and has another value/],
    [['gone.js'], /^gone\.js: no such file\n$/],
    [
      ['--config', 'away.yaml'],
      /^away\.yaml:2:\d+: services\.web\.cwd: no such directory\naway\.yaml:3:\d+: services\.api\.cwd: is not a directory\n$/,
    ],
  ] as const) {
    const { status, stdout, stderr } = run('check', 'check', ...args);
    assert.deepEqual([status, stdout], [2, ''], stderr);
    assert.match(stderr, line);
  }
});

test('--json prints the settings in force', () => {
  const { stdout } = run('check', 'check', 'server.js', '--json');
  assert.equal((JSON.parse(stdout) as { drainTimeout: number }).drainTimeout, 30_000);
});

test('schema prints the JSON Schema', () => {
  const { stdout } = run('schema', 'schema');
  assert.equal((JSON.parse(stdout) as { $schema: string }).$schema, 'https://json-schema.org/draft/2020-12/schema');
});
