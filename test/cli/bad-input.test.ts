import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { type Result, type Workspace, workspace } from '../e2e/harness/index.js';

const PROGRAM = 'require("node:http").createServer().listen(0)';

/** What the user is told: the log's line of the failure, or what stands on stderr. Never more than one line, never a stack. */
function told({ stderr, logs }: Result): string {
  const failures = logs.filter(({ level }) => level === 'error');
  assert.ok(!/^\s+at /m.test(stderr), stderr);
  const text = failures.length > 0 ? failures.map(({ message }) => message).join('\n') : stderr.trimEnd();
  assert.ok(!text.includes('\n'), text);
  return text;
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
  const cases: [args: string[], status: number, message: RegExp][] = [
    [
      ['--pidfile', 'no/such.pid'],
      1,
      /^the pidfile \/\S+\/no\/such\.pid cannot be used: .*; there is not a directory \/\S+\/no: make it, or name another path$/,
    ],
    [
      ['--pidfile', 'directory'],
      1,
      /^the pidfile \/\S+\/directory cannot be used: it is a directory; name another path$/,
    ],
    [
      ['--pidfile', '/dev/null'],
      1,
      /^the pidfile \/dev\/null cannot be used: it is not a regular file; name another path$/,
    ],
    [
      ['--pidfile', 'file/x.pid'],
      1,
      /^the pidfile \/\S+\/file\/x\.pid cannot be used: .*; \/\S+\/file is not a directory$/,
    ],
    [
      ['--upgrade-socket', 'no/such.sock'],
      1,
      /^the socket \/\S+\/no\/such\.sock cannot be made: there is not a directory \/\S+\/no: make it, or name another path$/,
    ],
    [
      ['--upgrade-socket', 'directory'],
      1,
      /^\/\S+\/directory exists and is not a socket; it is left alone: name another path$/,
    ],
    [['--upgrade-socket', 'file'], 1, /^\/\S+\/file exists and is not a socket; it is left alone: name another path$/],
    [
      ['--upgrade-socket', 'file/x.sock'],
      1,
      /^the socket \/\S+\/file\/x\.sock cannot be made: .*; \/\S+\/file is not a directory$/,
    ],
    [
      ['--log-file', 'no/such.log'],
      1,
      /^motya: the log file \/\S+\/no\/such\.log cannot be opened: .*; there is not a directory \/\S+\/no: make it, or name another path$/,
    ],
    [
      ['--log-file', 'directory', '--daemonize'],
      1,
      /^motya: the log file \/\S+\/directory cannot be opened: .*directory/,
    ],
    [
      ['--admin', 'unix:no/such.sock'],
      1,
      /such\.sock \(there is not a directory \/\S+\/no: make it, or name another path\)$/,
    ],
    [
      ['--admin', 'unix:file'],
      1,
      /unix:\/\S+\/file \(it exists and is not a socket; it is left alone: name another path\)$/,
    ],
    [['--config', 'no/such.yaml'], 2, /^no\/such\.yaml: no such file$/],
    [['--config', 'directory'], 2, /^directory: is a directory$/],
    [['--config', ''], 2, /^--config: must not be empty$/],
  ];
  for (const [args, status, message] of cases) {
    test(args.join(' '), async (test) => {
      const space = prepared(workspace(test));
      const before = everything(space);
      const script = args[0] === '--config' ? [] : ['ok.js'];
      const result = await space.run(['start', ...script, ...args]);
      assert.equal(result.code, status, result.stderr);
      assert.match(told(result), message);
      assert.equal(readFileSync(space.path('file'), 'utf8'), 'precious');
      assert.deepEqual(everything(space), before);
    });
  }
});

test('a script that is none: one line', async (test) => {
  const space = prepared(workspace(test));
  for (const [script, message] of [
    ['', 'the script: must not be empty'],
    ['gone.js', 'gone.js: no such file'],
    ['directory', 'directory: is a directory without a main file'],
  ] as const) {
    for (const command of ['start', 'check', 'status']) {
      const result = await space.run([command, script]);
      assert.deepEqual([result.code, told(result)], [2, message], command);
    }
  }
});

test('a runtime directory that cannot be: one line', async (test) => {
  const space = prepared(workspace(test));
  for (const [directory, message] of [
    ['no/such', /^the runtime directory cannot be made: .*no such file or directory/],
    ['file', /^the runtime directory \/\S+\/file is not a directory$/],
  ] as const) {
    const result = await space.run(['start', 'ok.js'], { env: { RUNTIME_DIRECTORY: space.path(directory) } });
    assert.equal(result.code, 1);
    assert.match(told(result), message);
  }
  const status = await space.run(['status', '--name', 'x'], { env: { RUNTIME_DIRECTORY: space.path('no/such') } });
  assert.equal(status.code, 4);
});
