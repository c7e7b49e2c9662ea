import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { Command } from '#src/cli/command.js';
import { explained } from '#src/cli/command-line.js';
import { commands } from '#src/cli/commands/index.js';
import { EXIT, EXIT_STATUSES } from '#src/cli/exit-status.js';
import { CLI, ROOT, workspace } from '../e2e/harness/index.js';

const all = (list: readonly Command[], parents: string[] = []): [string[], Command][] =>
  list.flatMap((command) => {
    const words = [...parents, command.name];
    return [[words, command] as [string[], Command], ...all(command.subcommands ?? [], words)];
  });

describe('help', () => {
  test('motya --help fits a terminal of 24 lines and 80 columns, a line a command', async (test) => {
    const { code, stdout } = await workspace(test).run(['--help']);
    const lines = stdout.trimEnd().split('\n');
    assert.equal(code, 0);
    assert.ok(lines.length < 24, `${lines.length} lines`);
    for (const line of lines) assert.ok(line.length <= 80, line);
    for (const { name, summary } of commands) {
      const own = lines.filter((line) => line.startsWith(`  motya ${name}`));
      assert.ok(own[0]?.endsWith(`  ${summary}`), name);
    }
  });

  test('each command has its summary, all flags with their defaults, and its examples, in 80 columns', async (test) => {
    const space = workspace(test);
    for (const [words, { summary, flags = {}, examples }] of all(commands)) {
      const { code, stdout } = await space.run([...words, '--help']);
      assert.equal(code, 0);
      // What lays it out is built to take a character for a column (scripts/bundles.mjs).
      assert.match(stdout, /^[ -~\n]*$/);
      for (const line of stdout.split('\n')) assert.ok(line.length <= 80 || line.startsWith('  motya '), line);
      assert.ok(stdout.includes(`\n${summary}\n`), words.join(' '));
      assert.ok(
        examples.length > 0 && examples.every(([line, effect]) => stdout.includes(`  ${line}\n      ${effect}`)),
      );
      for (const [flag, { defaultDescription, hidden }] of Object.entries(flags)) {
        assert.equal(new RegExp(`^ {2}(-\\w, )?--${flag}\\b`, 'm').test(stdout), hidden !== true, flag);
        if (hidden) continue;
        if (defaultDescription !== undefined)
          assert.ok(stdout.replace(/\s+/g, ' ').includes(`(default: ${defaultDescription})`));
      }
    }
  });

  test('examples are commands that exist, with flags that they have', () => {
    for (const [, { examples }] of all(commands)) {
      for (const [line] of examples) {
        const words =
          /motya ([^|>)]*)/
            .exec(line)?.[1]
            ?.split(' ')
            .filter((word) => word !== '') ?? [];
        const [, command] = all(commands).findLast(([name]) => name.every((word, at) => word === words[at])) ?? [];
        assert.ok(command !== undefined, line);
        const own = words.includes('--') ? words.slice(0, words.indexOf('--')) : words;
        for (const flag of own.filter((word) => word.startsWith('--'))) {
          assert.ok(Object.hasOwn(command.flags ?? {}, flag.slice(2)), `${line}: ${flag}`);
        }
      }
    }
  });

  test('a mistyped command or flag is answered with the one that was meant, in any language', async (test) => {
    const space = workspace(test);
    for (const [args, message] of [
      [['strat', 'server.js'], 'Unknown command: strat; did you mean "start"?\n'],
      [['statu'], 'Unknown command: statu; did you mean "status"?\n'],
      [['frobnicate'], 'Unknown command: frobnicate; see motya --help\n'],
      [['start', '--log-levl', 'debug'], 'Unknown argument: log-levl; did you mean "--log-level"?\n'],
      [['start', 'a.js', 'b.js'], 'Unknown argument: b.js; arguments of the program follow --\n'],
      [['upgrade', '--dry-run=1'], '--dry-run=1: is a switch; type --dry-run, or --no-dry-run\n'],
      [['upgrade', '--dryRun=1'], '--dryRun=1: is a switch; type --dryRun, or --no-dryRun\n'],
      [['start', '--no-daemonize=yes'], '--no-daemonize=yes: is a switch; type --daemonize, or --no-daemonize\n'],
      [['upgrade', '--wait', '--detach'], '--wait: does not go with --detach, which waits for nothing\n'],
      [
        ['start', '--upgrade', '--adopt', '1'],
        '--adopt: does not go with --upgrade, which takes over the listeners of the running instance\n',
      ],
      [['status', '--', 'x'], 'motya status takes no arguments after --\n'],
      [['init', 'systemd', '--usr', 'me'], 'Unknown argument: usr; did you mean "--user"?\n'],
    ] as const) {
      const { code, stdout, stderr } = await space.run(args, { env: { LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8' } });
      assert.deepEqual([code, stdout, stderr], [2, '', message.replace(/\n$/, ' (ERR_MOTYA_SETTINGS)\n')]);
    }
  });

  test('several unknown words are told once each', () => {
    const words = { own: ['status', '--nam', 'x', '--log-levl'], program: [] };
    assert.equal(
      explained('Unknown arguments: nam, log-levl, logLevl', words),
      'Unknown arguments: nam, log-levl; see motya status --help',
    );
  });
});

describe('exit statuses', () => {
  test('are told apart, documented, and named by the commands that end with them', () => {
    const numbers = Object.values(EXIT);
    assert.equal(new Set(numbers).size, numbers.length);
    const manual = readFileSync(`${ROOT}docs/reference/errors.md`, 'utf8');
    for (const [status, meaning] of Object.values(EXIT_STATUSES))
      assert.ok(manual.includes(`| ${status} | ${meaning} |`));
    const used = new Set(all(commands).flatMap(([, { exits }]) => exits));
    assert.deepEqual([...used].sort(), Object.keys(EXIT_STATUSES).sort());
  });

  test('0, 1, 2 and 4 come when they should (3 and 5: e2e/upgrade, e2e/failures)', async (test) => {
    const space = workspace(test);
    space.write('ok.js', 'require("node:http").createServer().listen(0)');
    space.write('throws.js', 'throw new Error("no")');
    for (const [args, status] of [
      [['--version'], EXIT.ok],
      [['check', 'ok.js'], EXIT.ok],
      [['start', 'throws.js'], EXIT.failed],
      [['start', '--upgrade', 'ok.js'], EXIT.failed],
      [['start', 'gone.js'], EXIT.usage],
      [['check', 'gone.js'], EXIT.usage],
      [[], EXIT.usage],
      // Without a name it finds what runs anywhere on this machine, such as the instances of other tests.
      [['status', '--name', 'x'], EXIT.notRunning],
      [['upgrade', 'ok.js'], EXIT.notRunning],
      [['stop', '--name', 'x'], EXIT.notRunning],
    ] as const) {
      assert.equal((await space.run(args)).code, status, args.join(' '));
    }
  });

  const needsRoot = { skip: process.getuid?.() !== 0 && 'only root can be a user who has no instance' };
  test('4, too, without a name, where no instance of the user runs', needsRoot, async (test) => {
    const space = workspace(test);
    // Root would find the instances of all users.
    const user = ['--reuid=61299', '--regid=61299', '--clear-groups'];
    const env = { RUNTIME_DIRECTORY: undefined, MOTYA_USER: undefined };
    const status = space.start('setpriv', [...user, process.execPath, CLI, 'status'], { cwd: '/', env });
    assert.deepEqual(await status.waitForExit(), { code: EXIT.notRunning, signal: null }, status.describe());
  });
});
