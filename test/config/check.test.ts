import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CLI, codeOf, placesIn } from '../e2e/harness/index.js';

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
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...words], { cwd, env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('valid settings: what they are, in one line', () => {
  writeFileSync(
    join(cwd, 'motya.yaml'),
    'services: {web: {script: server.js, workers: 2}, api: {script: server.js}}\n',
  );
  assert.deepEqual(run('check'), {
    status: 0,
    stdout: 'motya.yaml is valid: 2 services: web (2 workers), api (1 worker)\n',
    stderr: '',
  });
  assert.equal(run('check', 'server.js').stdout, 'server.js is valid: 1 service: server (1 worker)\n');
});

test('wrong settings: a line for each problem on stderr, and status 2', () => {
  writeFileSync(join(cwd, 'motya.yaml'), 'services:\n  web: {script: gone.js}\nnme: x\n');
  const { status, stdout, stderr } = run('check');
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.deepEqual(placesIn(stderr), [
    { file: 'motya.yaml', line: 2, column: 17, key: 'services.web.script' },
    { file: 'motya.yaml', line: 3, column: 1, key: 'nme' },
  ]);
  assert.equal(codeOf(stderr.split('\n', 1)[0] ?? ''), 'ERR_MOTYA_SETTINGS');
});

test('it takes the flags of start, and refuses what start refuses', () => {
  assert.deepEqual(run('check', '--workers', '2', 'server.js'), {
    status: 0,
    stdout: 'server.js is valid: 1 service: server (2 workers)\n',
    stderr: '',
  });
  writeFileSync(
    join(cwd, 'away.yaml'),
    'services:\n  web: {script: server.js, cwd: gone}\n  api: {script: server.js, cwd: server.js}\n',
  );
  for (const [args, places, named] of [
    [['--workers', 'x', 'server.js'], [{ key: '--workers' }], '"x"'],
    [['--force', 'server.js'], [{ key: '--force' }], '--upgrade'],
    [['--keeper', '--upgrade', 'server.js'], [{ key: '--keeper' }], '--upgrade'],
    [['--supervise', '--upgrade', 'server.js'], [{ key: '--keeper' }], '--upgrade'],
    [['--no-supervise', '--keeper', 'server.js'], [{ key: '--supervise' }], '--keeper'],
    [['gone.js'], [{ key: 'gone.js' }], ''],
    [
      ['--config', 'away.yaml'],
      [
        { file: 'away.yaml', line: 2, column: 33, key: 'services.web.cwd' },
        { file: 'away.yaml', line: 3, column: 33, key: 'services.api.cwd' },
      ],
      '',
    ],
  ] as const) {
    const { status, stdout, stderr } = run('check', ...args);
    assert.deepEqual([status, stdout], [2, ''], stderr);
    assert.deepEqual([codeOf(stderr), placesIn(stderr)], ['ERR_MOTYA_SETTINGS', places]);
    assert.ok(stderr.includes(named), stderr);
  }
});

test('--json prints the settings in force', () => {
  const { stdout } = run('check', 'server.js', '--json');
  assert.equal((JSON.parse(stdout) as { drainTimeout: number }).drainTimeout, 30_000);
});

test('schema prints the JSON Schema', () => {
  const { stdout } = run('schema');
  assert.equal((JSON.parse(stdout) as { $schema: string }).$schema, 'https://json-schema.org/draft/2020-12/schema');
});
