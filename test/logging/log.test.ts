import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LogSettings } from '#src/config/settings.js';
import { createLogger } from '#src/logging/log.js';

const fixture = fileURLToPath(new URL('../../test/fixtures/config/log-and-exit.mjs', import.meta.url));
const nonBlocking = fileURLToPath(new URL('../../test/fixtures/config/non-blocking-stderr.mjs', import.meta.url));
type Wanted = Omit<LogSettings, 'programs' | 'transports'>;
let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'motya-log-'));
});
after(() => rmSync(directory, { recursive: true }));

const linesOf = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1);
const to = (name: string, more: Partial<Wanted> = {}): Wanted & { file: string } => ({
  level: 'info',
  format: 'auto',
  ...more,
  file: join(directory, name),
});

test('a JSON line has time, level, message, generation and the fields, and no field overwrites them', () => {
  const settings = to('json');
  const log = createLogger(settings, { generation: 7 });
  log.warn('the drain\nends', { drainMs: 5, level: 'x', time: 1, reason: new Error('gone'), big: 5n });
  log.generation = 8;
  log.info('next');
  log.close();
  const [first, second] = linesOf(settings.file).map((line) => JSON.parse(line) as Record<string, unknown>);
  assert.match(String(first?.time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(
    { ...first, time: null },
    { time: null, level: 'warn', message: 'the drain\nends', generation: 7, drainMs: 5, reason: 'gone', big: '5' },
  );
  assert.equal(second?.generation, 8);
});

test('a pretty line is one line, whatever it holds', () => {
  const settings = to('pretty', { format: 'pretty' });
  const log = createLogger(settings);
  log.error('it\nsaid "no" \x1b[2J\x9b2J', { path: '/run/a.sock', text: 'two words\n', count: 3, none: undefined });
  log.close();
  const [line, ...others] = linesOf(settings.file);
  assert.deepEqual(others, []);
  assert.match(
    line ?? '',
    /^\S+Z ERROR it\\nsaid "no" \\u001b\[2J\\u009b2J path=\/run\/a\.sock text="two words\\n" count=3$/,
  );
});

test('lines below the level are not written', () => {
  const settings = to('level', { level: 'warn' });
  const log = createLogger(settings);
  log.error('a');
  log.warn('b');
  log.info('c');
  log.debug('d');
  log.close();
  assert.equal(linesOf(settings.file).length, 2);
});

test('fields that have no JSON cost the fields, not the line', () => {
  const settings = to('circular');
  const log = createLogger(settings);
  const circle: { self?: unknown } = {};
  circle.self = circle;
  log.info('around', { circle });
  log.close();
  assert.match(linesOf(settings.file)[0] ?? '', /"message":"around","fields":"\(unprintable\)"/);
});

describe('the log file', () => {
  test('is 0640, is appended to, and is opened anew by reopen()', () => {
    const settings = to('file');
    createLogger(settings).info('before us');
    const log = createLogger(settings);
    log.info('one');
    renameSync(settings.file, `${settings.file}.1`);
    log.info('two');
    log.reopen();
    log.info('three');
    assert.equal(fstatSync(log.fd).ino, statSync(settings.file).ino);
    assert.equal(statSync(settings.file).mode & 0o777 & ~0o640, 0);
    const fd = log.fd;
    log.close();
    assert.equal(log.fd, 2);
    assert.ok(!existsSync(`/proc/self/fd/${fd}`));
    assert.equal(linesOf(`${settings.file}.1`).length, 3);
    assert.match(linesOf(settings.file).join(), /three/);
  });

  test('that cannot be opened is an error at the start and a warning later', () => {
    assert.throws(() => createLogger({ level: 'info', format: 'auto', file: join(directory, 'no/such') }), {
      code: 'ERR_MOTYA_LOG_FILE',
      message: /ENOENT/,
    });
    const inner = mkdtempSync(join(directory, 'gone-'));
    const log = createLogger({ level: 'info', format: 'json', file: join(inner, 'log') });
    renameSync(inner, `${inner}.moved`);
    log.reopen();
    log.close();
    assert.match(linesOf(join(`${inner}.moved`, 'log')).join(), /cannot be opened again.*ENOENT/);
  });

  test('on a full disk loses lines, and says how many when there is room again', () => {
    const path = join(directory, 'disk');
    symlinkSync('/dev/full', path);
    const log = createLogger({ level: 'info', format: 'json', file: path });
    log.info('lost');
    log.error('lost too');
    rmSync(path);
    log.reopen();
    log.info('kept');
    log.close();
    const [notice, kept] = linesOf(path).map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.equal(notice?.lost, 2);
    assert.equal(kept?.message, 'kept');
  });
});

describe('stderr', () => {
  const run = (lines: number, env: NodeJS.ProcessEnv = {}, settings: Partial<LogSettings> = {}) =>
    spawnSync(process.execPath, [fixture, String(lines), JSON.stringify(settings)], {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    });

  test('gets JSON when it is no terminal, and every line before an immediate exit', () => {
    const lines = run(500).stderr.split('\n').slice(0, -1);
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { line: number }).line),
      Array.from({ length: 500 }, (_, index) => index),
    );
  });

  test('whose reader has gone stops nothing', async () => {
    const child = spawn(process.execPath, [fixture, '50'], { stdio: ['ignore', 'ignore', 'pipe'] });
    child.stderr.destroy();
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  test('that is full and non-blocking costs lines and stops nothing', async () => {
    const path = join(directory, 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, 'w');
    // Far more than the pipe holds, and no process reads until the child has gone.
    const child = spawn(process.execPath, [nonBlocking, fixture, '20000'], { stdio: ['ignore', 'ignore', writer] });
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    closeSync(writer);
    const lines = readFileSync(reader, 'utf8').split('\n').slice(0, -1);
    closeSync(reader);
    assert.ok(lines.length > 10 && lines.length < 20_000, `${lines.length} lines`);
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { line: number }).line),
      lines.map((_, index) => index),
    );
  });

  test('that is the journal gets priorities', () => {
    const path = join(directory, 'journal');
    const fd = openSync(path, 'w');
    const { dev, ino } = fstatSync(fd);
    spawnSync(process.execPath, [fixture, '1'], {
      stdio: ['ignore', 'ignore', fd],
      env: { ...process.env, JOURNAL_STREAM: `${dev}:${ino}` },
    });
    closeSync(fd);
    assert.match(linesOf(path)[0] ?? '', /^<6>\{/);
  });

  test('that is no journal gets no priorities', () => {
    assert.match(run(1, { JOURNAL_STREAM: '1:2' }).stderr, /^\{/);
  });
});
