import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { codeOf, type Result, type Workspace, workspace } from '../e2e/harness/index.js';

const PROGRAM = 'require("node:http").createServer().listen(0)';

/** The failure that the user is told: of a log line, or of stderr. Never more than one line, never a stack. */
function told({ stderr, logs }: Result): Told {
  const failures = logs.filter(({ level }) => level === 'error');
  assert.ok(!/^\s+at /m.test(stderr), stderr);
  const [failure] = failures;
  const text = failure === undefined ? stderr.trimEnd() : failure.message;
  assert.ok(failures.length < 2 && !text.includes('\n'), stderr);
  if (failure === undefined) return { code: codeOf(stderr), text };
  const { path, reason } = (failure.details ?? {}) as { path?: string; reason?: string };
  return { code: failure.code, text, path, reason };
}

interface Told {
  readonly code: unknown;
  /** Asserted for the names in it alone. */
  readonly text: string;
  readonly path?: string | undefined;
  readonly reason?: string | undefined;
}

/** A workspace with a program, a file and a directory. */
function prepared(space: Workspace): Workspace {
  space.write('ok.js', PROGRAM);
  space.write('file', 'precious');
  space.write('directory/x', '');
  return space;
}

const everything = (space: Workspace): string[] =>
  (readdirSync(space.dir, { recursive: true }) as string[])
    .filter((name) => !/^process-|\.lock$|^run\/motya$/.test(name))
    .sort();

describe('paths that cannot be, relative as they are typed: one line, and nothing is left', () => {
  // `path`: what is in the way, relative to the workspace.
  const pidfile = 'ERR_MOTYA_PIDFILE';
  const socket = 'ERR_MOTYA_SOCKET';
  const log = 'ERR_MOTYA_LOG_FILE';
  const settings = 'ERR_MOTYA_SETTINGS';
  const cases: [
    args: string[],
    status: number,
    failure: { code: string; path?: string; place?: string; reason?: string },
  ][] = [
    [['--pidfile', 'no/such.pid'], 1, { code: pidfile, path: 'no', reason: 'ENOENT' }],
    [['--pidfile', 'directory'], 1, { code: pidfile, path: 'directory' }],
    [['--pidfile', '/dev/null'], 1, { code: pidfile, path: '/dev/null' }],
    [['--pidfile', 'file/x.pid'], 1, { code: pidfile, path: 'file', reason: 'ENOTDIR' }],
    [['--upgrade-socket', 'no/such.sock'], 1, { code: socket, path: 'no', reason: 'ENOENT' }],
    [['--upgrade-socket', 'directory'], 1, { code: socket, path: 'directory', reason: 'ENOTSOCK' }],
    [['--upgrade-socket', 'file'], 1, { code: socket, path: 'file', reason: 'ENOTSOCK' }],
    [['--upgrade-socket', 'file/x.sock'], 1, { code: socket, path: 'file', reason: 'ENOTDIR' }],
    [['--log-file', 'no/such.log'], 1, { code: log, path: 'no' }],
    [['--log-file', 'directory', '--daemonize'], 1, { code: log, path: 'directory' }],
    [['--admin', 'unix:no/such.sock'], 1, { code: 'ERR_MOTYA_LISTENER', path: 'no' }],
    [['--admin', 'unix:file'], 1, { code: 'ERR_MOTYA_LISTENER', path: 'file' }],
    [['--config', 'no/such.yaml'], 2, { code: settings, place: 'no/such.yaml' }],
    [['--config', 'directory'], 2, { code: settings, place: 'directory' }],
    [['--config', ''], 2, { code: settings, place: '--config' }],
  ];
  for (const [args, status, failure] of cases) {
    test(args.join(' '), async (test) => {
      const space = prepared(workspace(test));
      const before = everything(space);
      const script = args[0] === '--config' ? [] : ['ok.js'];
      const result = await space.run(['start', ...script, ...args]);
      assert.equal(result.code, status, result.stderr);
      const { path = '', code, place, reason } = failure;
      const heard = told(result);
      assert.equal(heard.code, code, heard.text);
      assert.ok(heard.text.includes(resolve(space.dir, path)) || path === '', heard.text);
      if (place !== undefined) assert.ok(heard.text.startsWith(`${place}: `), heard.text);
      if (reason !== undefined) assert.equal(heard.reason, reason, heard.text);
      assert.equal(readFileSync(space.path('file'), 'utf8'), 'precious');
      assert.deepEqual(everything(space), before);
    });
  }
});

test('a script that is none: one line', async (test) => {
  const space = prepared(workspace(test));
  for (const [script, place] of [
    ['', 'the script'],
    ['gone.js', 'gone.js'],
    ['directory', 'directory'],
  ] as const) {
    for (const command of ['start', 'check', 'status']) {
      const result = await space.run([command, script]);
      const { code, text } = told(result);
      assert.deepEqual([result.code, code], [2, 'ERR_MOTYA_SETTINGS'], command);
      assert.ok(text.startsWith(`${place}: `), text);
    }
  }
});

test('a runtime directory that cannot be: one line', async (test) => {
  const space = prepared(workspace(test));
  for (const [directory, named] of [
    ['no/such', 'no/such'],
    ['file', 'file'],
  ] as const) {
    const result = await space.run(['start', 'ok.js'], { env: { RUNTIME_DIRECTORY: space.path(directory) } });
    assert.equal(result.code, 1);
    const { code, text } = told(result);
    assert.equal(code, 'ERR_MOTYA_RUNTIME_DIRECTORY');
    assert.ok(text.includes(space.path(named)), text);
  }
  const status = await space.run(['status', '--name', 'x'], { env: { RUNTIME_DIRECTORY: space.path('no/such') } });
  assert.equal(status.code, 4);
});
