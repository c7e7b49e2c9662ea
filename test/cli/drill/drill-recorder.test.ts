import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { freePort, ROOT, workspace } from '../../e2e/harness/index.js';

/** Asks for what `HOW` says, writes down what came of it, and ends. */
const CHILD = `
const { appendFileSync } = require('node:fs');
const { HOW, PORT, TOLD } = process.env;
const socket = HOW.startsWith('tcp') ? require('node:net').createServer() : require('node:dgram').createSocket('udp4');
const tell = (what) => appendFileSync(TOLD, HOW + ' ' + what + (globalThis.isPreloaded ? '' : ' without the preload') + '\\n');
socket.on('error', ({ code }) => tell(code)).on('listening', () => {
  tell('bound');
  socket.close();
});
const port = HOW.endsWith('any') ? 0 : Number(PORT);
if (HOW.startsWith('tcp')) socket.listen(port, '127.0.0.1');
else if (HOW.endsWith('fd')) socket.bind({ fd: 9 });
else if (HOW.endsWith('options')) socket.bind({ port, address: '127.0.0.1' });
else socket.bind(port, '127.0.0.1');
`;

/** One after the other: a child, or a thread, for each way. */
const PROGRAM = `
const { fork, spawn } = require('node:child_process');
const { Worker } = require('node:worker_threads');
const { CHILD } = process.env;
const ways = {
  spawn: (env) => spawn(process.execPath, [CHILD], { env, stdio: 'inherit' }),
  fork: (env) => fork(CHILD, { env }),
  thread: (env) => new Worker(CHILD, { env }),
  bare: (env) => new Worker(CHILD, { env, execArgv: [] }),
};
(async () => {
  for (const HOW of process.env.ALL.split(',')) {
    const child = ways[HOW.split(' ')[1]]({ ...process.env, HOW });
    await new Promise((resolve, reject) => child.on('exit', resolve).on('error', reject));
  }
})();
`;

test("the program's own children and threads get no real address, and what NODE_OPTIONS held", async (t) => {
  const space = workspace(t);
  const directory = space.path('a "quoted" \\ directory');
  mkdirSync(directory);
  const recorder = `${directory}/drill-recorder.cjs`;
  copyFileSync(`${ROOT}dist/runtime/drill-recorder.cjs`, recorder);
  space.write('pre load.cjs', 'globalThis.isPreloaded = true;');
  const ways = ['spawn', 'fork', 'thread', 'bare'];
  const refused = ways.flatMap((way) => ['', ' options'].map((form) => `udp ${way}${form}`));
  const all = [...refused, ...ways.map((way) => `tcp ${way}`), 'udp spawn fd', 'udp spawn any', 'tcp spawn any'];
  const program = space.node(['--require', recorder, space.write('program.cjs', PROGRAM)], {
    env: {
      MOTYA_SANDBOX: `${process.pid}:${space.dir}`,
      NODE_OPTIONS: `--require "${space.path('pre load.cjs')}"`,
      CHILD: space.write('child.cjs', CHILD),
      PORT: String(await freePort()),
      TOLD: space.path('told'),
      ALL: all.join(','),
    },
  });
  assert.deepEqual(await program.waitForExit(), { code: 0, signal: null }, program.stderr);
  assert.deepEqual(
    readFileSync(space.path('told'), 'utf8').trim().split('\n'),
    all.map((how) => `${how} ${how.endsWith('any') ? 'bound' : 'EADDRINUSE'}`),
  );
});
