import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { readLogFile, until } from './harness/index.js';
import { isRefused, program, scene } from './scene.js';

/** It says that it boots, and never listens. */
const NEVER_READY = "require('node:fs').writeFileSync('boots', ''); setInterval(() => {}, 1000);";

describe('a start --daemonize that is interrupted before the daemon serves', () => {
  const signals = [
    ['SIGINT', 130, []],
    ['SIGTERM', 143, ['--keeper']],
    ['SIGHUP', 129, ['--log-file', 'a.log']],
    ['SIGKILL', null, []],
  ] as const;
  for (const [signal, code, args] of signals) {
    it(`by ${signal}${args.length === 0 ? '' : `, with ${args[0]}`}: nothing is left`, async (test) => {
      const stage = await scene(test, '', NEVER_READY);
      const command = stage.start(['--daemonize', ...args]);
      await until(() => existsSync(stage.space.path('boots')), { what: 'the program to boot' });
      command.kill(signal);
      const ended = await command.waitForExit();
      assert.equal(ended.code, code, command.stderr);
      // The command has waited for it, unless it was killed.
      if (code !== null) assert.deepEqual(stage.space.processes(), []);
      await stage.space.nothingLeft();
      for (const file of [stage.pidfile, stage.upgradeSocket, `${stage.space.runtimeDir}/motya/app.control.sock`]) {
        assert.ok(!existsSync(file), file);
      }
      assert.ok(await isRefused(stage.port));
    });
  }

  it('a successor ends, and the incumbent serves on', async (test) => {
    const stage = await scene(test, '', program('one'));
    const first = await stage.first();
    const command = stage.start(['--daemonize', '--upgrade', '--log-file', 'a.log']);
    const waits = () => readLogFile(stage.space.path('a.log')).some(({ event }) => event === 'waiting');
    await until(waits, { what: 'the successor to wait' });
    command.kill('SIGINT');
    assert.equal((await command.waitForExit()).code, 130);
    const { generation, pid, successor } = await stage.status();
    assert.deepEqual([generation, pid, successor], [1, first.pid, null]);
    assert.equal((await stage.who()).version, 'one');
  });
});

describe('the reason of a failed start whose log is a file', () => {
  for (const args of [[], ['--daemonize'], ['--keeper']] as const) {
    it(`is on stderr, too${args.length === 0 ? '' : ` (${args[0]})`}`, async (test) => {
      const stage = await scene(test, '', "throw new Error('broken on purpose')");
      const command = stage.start(['--log-file', 'a.log', ...args]);
      assert.equal((await command.waitForExit()).code, 1);
      const lines = command.stderrLines.filter((line) => line.includes('broken on purpose'));
      assert.equal(lines.length, 1, command.stderr);
      assert.ok(lines[0]?.startsWith('motya: ') && lines[0].includes(stage.script), command.stderr);
      // A launched instance tells its launcher before it writes the line.
      await until(() => readLogFile(stage.space.path('a.log')).some(({ event }) => event === 'failed'), {
        what: 'the reason in the log',
      });
    });
  }
});
