import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { renameSync } from 'node:fs';
import { describe, test } from 'node:test';
import { codeOf, lacks, type Workspace, workspace } from '../e2e/harness/index.js';
import { Terminal } from './terminal.js';

/** A workspace with the script of `motya completion <shell>` in a file, and a directory with files to complete. */
async function prepared(space: Workspace, shell: string): Promise<string> {
  const { code, stdout, stderr } = await space.run(['completion', shell]);
  assert.deepEqual([code, stderr], [0, '']);
  space.write('some settings.yaml', '');
  space.write('server.js', '');
  return space.write(`completion.${shell}`, stdout);
}

/** What stands on the line, or below it, after the keys: what was typed, what TAB adds, what it lists. */
const cases: readonly [what: string, keys: string, shown: RegExp][] = [
  ['a command', 'motya upg\t', /motya upgrade /],
  ['a flag of the command', 'motya upgrade --dry\t', /motya upgrade --dry-run /],
  ['values of a flag', 'motya start --log-level \t\t', /debug\s+error\s+info\s+warn|error\s+warn\s+info\s+debug/],
  ['values after =', 'motya start --on-quit=w\t', /--on-quit=wait/],
  ['a file for a flag', 'motya start --config some\t', /some\\ settings\.yaml/],
  ['a file for the script', 'motya start serv\t', /motya start server\.js/],
  ['a subcommand', 'motya init sys\t', /motya init systemd /],
  ['a flag of the subcommand', 'motya init systemd --us\t', /motya init systemd --user/],
  ['values of an argument', 'motya completion zs\t', /motya completion zsh/],
];

/** Types at an interactive shell; each case begins on a fresh line. */
async function typeAll(space: Workspace, shell: string, command: string, setup: readonly string[]): Promise<void> {
  const terminal = new Terminal(space, command, { PS1: '$ ', PROMPT: '$ ', HISTFILE: '' });
  for (const line of [...setup, 'echo rea""dy']) terminal.type(`${line}\n`);
  await terminal.waitFor(/^ready/m);
  for (const [what, keys, shown] of cases) {
    const from = terminal.text.length;
    terminal.type(keys);
    await terminal.waitFor(shown, { from }).catch((error: Error) => {
      throw new Error(`${shell}, ${what}: ${error.message}`);
    });
    // Ctrl-U empties the line; Ctrl-C would throw away what is typed after it, too.
    terminal.type('\x15');
  }
  terminal.type('exit\n');
  await terminal.exit();
}

describe('motya completion', () => {
  test('bash completes commands, flags, values and files', { skip: lacks('bash') }, async (test) => {
    const space = workspace(test);
    const script = await prepared(space, 'bash');
    await typeAll(space, 'bash', 'bash --norc --noprofile -i', [`source ${script}`]);
  });

  test('zsh completes commands, flags, values and files', { skip: lacks('zsh') }, async (test) => {
    const space = workspace(test);
    const script = await prepared(space, 'zsh');
    const load = ['autoload -Uz compinit', `compinit -u -d ${space.path('zcompdump')}`, `source ${script}`];
    await typeAll(space, 'zsh', 'zsh -f -i', load);
  });

  test('zsh finds it as a function in its fpath, too', { skip: lacks('zsh') }, async (test) => {
    const space = workspace(test);
    await prepared(space, 'zsh');
    renameSync(space.path('completion.zsh'), space.path('_motya'));
    const load = [`fpath=(${space.dir} $fpath)`, 'autoload -Uz compinit', `compinit -u -D`];
    await typeAll(space, 'zsh', 'zsh -f -i', load);
  });

  test('fish completes commands, flags, values and files', { skip: lacks('fish') }, async (test) => {
    const space = workspace(test);
    const script = await prepared(space, 'fish');
    const offered = (line: string): string[] => {
      const { stdout, stderr } = spawnSync(
        'fish',
        ['-N', '-c', `source ${script}; complete -C ${JSON.stringify(line)}`],
        {
          cwd: space.dir,
          env: { ...space.env, XDG_CONFIG_HOME: space.dir },
          encoding: 'utf8',
        },
      );
      assert.equal(stderr, '');
      return stdout.split('\n').map((entry) => entry.split('\t')[0] ?? '');
    };
    const expected: readonly [string, string[], string[]][] = [
      ['motya ', ['start', 'upgrade', 'completion'], ['server.js', 'systemd']],
      ['motya upgrade --', ['--dry-run', '--json', '--help'], ['--workers', '--now']],
      ['motya start --log-level ', ['error', 'warn', 'info', 'debug'], ['server.js', 'start']],
      ['motya start --on-quit=', ['--on-quit=start', '--on-quit=wait'], []],
      ['motya start --config ', ['server.js'], ['start']],
      ['motya start ', ['server.js'], ['upgrade']],
      ['motya init ', ['systemd'], ['--user', 'start']],
      ['motya init systemd --', ['--user', '--output', '--log-level'], ['--daemonize']],
      ['motya completion ', ['bash', 'zsh', 'fish'], ['server.js']],
    ];
    for (const [line, wanted, unwanted] of expected) {
      const words = offered(line);
      for (const word of wanted) assert.ok(words.includes(word), `${line}: no ${word} in ${words.join(' ')}`);
      for (const word of unwanted) assert.ok(!words.includes(word), `${line}: ${word} in ${words.join(' ')}`);
    }
  });

  test('takes the shell from $SHELL; another one is an error of one line', async (test) => {
    const space = workspace(test);
    const fish = await space.run(['completion'], { env: { SHELL: '/usr/bin/fish' } });
    assert.match(fish.stdout, /^# Completion of motya for fish/);
    for (const [args, shell] of [
      [['completion', 'tcsh'], '/bin/bash'],
      [['completion'], '/bin/tcsh'],
    ] as const) {
      const { code, stdout, stderr } = await space.run(args, { env: { SHELL: shell } });
      assert.deepEqual([code, stdout, codeOf(stderr)], [2, '', 'ERR_MOTYA_SETTINGS']);
      assert.ok(stderr.includes(' tcsh:') && stderr.trimEnd().split('\n').length === 1, stderr);
    }
  });
});
