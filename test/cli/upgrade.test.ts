import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { describe, test } from 'node:test';
import { CLI, codeOf, until } from '../e2e/harness/index.js';
import { scene } from '../e2e/scene.js';
import { Terminal } from './terminal.js';

const lastLines = (text: string, number: number): string[] => text.trim().split('\n').slice(-number);

describe('motya upgrade and the old instance', () => {
  test('says how much it still drains, and does not wait for it', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const held = await stage.hold();
    const { code, stdout } = await stage.upgrade();
    assert.equal(code, 0);
    const [serves, drains] = lastLines(stdout, 2);
    assert.match(serves ?? '', /^generation 2 \(pid \d+\) serves \(/);
    assert.match(
      drains ?? '',
      new RegExp(`^generation 1 \\(pid ${first.pid}\\) still drains 1 connection, for at most (2\\d|30) s$`),
    );
    held.finish();
    assert.equal((await held.answer).status, 200);
    // Nothing is left to say about one that has nothing to drain.
    await first.waitForExit();
    assert.match(lastLines((await stage.upgrade()).stdout, 1)[0] ?? '', /^generation 3 \(pid \d+\) serves \(/);
  });

  test('knows until when it drains before its workers can tell how much', async (test) => {
    // A body's first part makes its worker spin until there is a file.
    const stage = await scene(
      test,
      '',
      `const { existsSync } = require('node:fs');
require('node:http').createServer((request, response) => {
  request.once('data', () => { while (!existsSync(process.env.FREE)); });
  request.resume().on('end', () => response.end());
}).listen(process.env.PORT, '127.0.0.1');`,
    );
    const free = stage.space.path('free');
    const first = await stage.first([], { FREE: free });
    const busy = request({ port: stage.port, method: 'POST', agent: false });
    const answer = once(busy, 'response') as Promise<[IncomingMessage]>;
    busy.flushHeaders();
    await until(async () => (await stage.status()).services[0]?.workers[0]?.connections === 1, { what: 'its request' });
    const command = stage.space.motya(['upgrade', '--name', 'app', '--detach']);
    await first.waitFor(({ to }) => to === 'committed');
    busy.write('spin');
    assert.deepEqual(await command.waitForExit(), { code: 0, signal: null });
    stage.space.write('free', '');
    busy.end();
    assert.equal((await answer)[0].statusCode, 200);
    answer.then(([response]) => response.resume());
    await first.waitForExit();
    assert.match(command.stdout, / still drains 1 connection, for at most (2\d|30) s$/m);
  });

  test('--wait: until it has ended, with what had to be closed by force', async (test) => {
    const stage = await scene(test);
    const first = await stage.first(['--drain-timeout', '6s']);
    const held = await stage.hold();
    const failed = held.answer.then(
      () => false,
      () => true,
    );
    const { code, stdout } = await stage.upgrade('--wait');
    assert.equal(code, 0);
    // The news of its end may reach this process after that of the command's.
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    assert.match(stdout, /^generation 1 drains 1: 1 http1; \d+ m?s left$/m);
    assert.match(
      lastLines(stdout, 1)[0] ?? '',
      new RegExp(`^pid ${first.pid} has drained in \\d+ m?s: 1 connection closed by force$`),
    );
    assert.ok(await failed);
  });

  test('--wait --json: the outcome first, then the drain, then its end', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const held = await stage.hold();
    const waiting = stage.space.motya(['upgrade', '--name', 'app', '--wait', '--json']);
    await waiting.waitForStdout(/^\{"draining"/);
    held.finish();
    assert.deepEqual(await waiting.waitForExit(), { code: 0, signal: null });
    const lines = waiting.stdoutLines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const outcome = lines.findIndex(({ ok }) => ok === true);
    assert.ok(lines.slice(0, outcome).every(({ phase }) => typeof phase === 'string'));
    assert.deepEqual(
      lines.slice(outcome + 1).map((line) => Object.keys(line)[0]),
      [...lines.slice(outcome + 2).map(() => 'draining'), 'drained'],
    );
    const { drained } = lines.at(-1) as { drained: { pid: number; forced: number } };
    assert.deepEqual([drained.pid, drained.forced], [first.pid, 0]);
  });

  test('at a terminal: what happens now, in place; then the drain with its time left', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const held = await stage.hold();
    const terminal = new Terminal(stage.space, `${process.execPath} ${CLI} upgrade --name app --wait`);
    await terminal.waitFor(/… {2}the successor starts, \d+ m?s/);
    await terminal.waitFor(/\d+ ms {2}successor accepts\r\n/);
    await terminal.waitFor(/generation 1 drains 1: 1 http1; \d+ s left/);
    held.finish();
    await terminal.waitFor(new RegExp(`pid ${first.pid} has drained in \\d+ m?s: every connection ended by itself`));
    assert.equal(await terminal.exit(), 0);
    // Each line that changes is taken away before the next one stands there.
    const shown = terminal.output.split('the successor starts').length - 1;
    assert.ok(terminal.output.split('\x1b[1A\x1b[2K').length - 1 >= shown);
  });

  test('Ctrl-C ends the command, not the upgrade, and says so', async (test) => {
    const stage = await scene(test);
    const first = await stage.first();
    const held = await stage.hold();
    const waiting = stage.space.motya(['upgrade', '--name', 'app', '--wait']);
    await waiting.waitForStdout(/^generation 1 drains/);
    waiting.kill('SIGINT');
    assert.deepEqual(await waiting.waitForExit(), { code: 130, signal: null });
    assert.equal(codeOf(waiting.stderr), 'ERR_MOTYA_INTERRUPTED');
    assert.equal((await stage.who()).generation, '2');
    held.finish();
    assert.equal((await held.answer).status, 200);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });
});
