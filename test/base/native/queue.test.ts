import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { native } from '#src/base/os/native.js';
import { IMPORT_NATIVE, outputOf, track } from './support.js';

test('the layout of this Node’s libuv is known', () => {
  assert.equal(native.queue.keep(), false);
});

/** What becomes of a connection to a server that has no fd left, and gets one later. */
async function starve(t: TestContext, prelude: string): Promise<unknown> {
  const source = `${IMPORT_NATIVE}
const { createServer, connect } = await import('node:net');
const { openSync, closeSync } = await import('node:fs');
const { Worker } = await import('node:worker_threads');
const { once } = await import('node:events');
${prelude}
const server = createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
// The kernel connects the client, of another process, before this one accepts.
const { spawn } = await import('node:child_process');
const program = 'const c = require("net").connect(' + server.address().port + ', "127.0.0.1");' +
  'c.on("error", () => {}).on("close", () => { console.log("closed"); process.exit(); }).on("data", () => { console.log("served"); process.exit(); });' +
  'c.on("connect", () => console.log("connected"));';
const held = [];
for (;;) { try { held.push(openSync('/dev/null')); } catch { break; } }
for (const fd of held.splice(0, 12)) closeSync(fd);
const other = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
for (;;) { try { held.push(openSync('/dev/null')); } catch { break; } }
server.on('connection', (socket) => { socket.end('x'); server.close(); });
let met = false;
let text = '';
other.stdout.on('data', (chunk) => { text += chunk; });
const look = setInterval(() => {
  if (native.queue.keep() !== true) return;
  met = true;
  clearInterval(look);
  for (const fd of held.splice(0)) closeSync(fd);
}, 5);
setTimeout(() => process.exit(9), 60_000).unref();
await once(other, 'close');
clearInterval(look);
console.log(JSON.stringify({ met, text }));
process.exit();
`;
  // Few fds, so that they are soon used up.
  const args = ['-c', 'ulimit -n 512; exec "$0" "$@"', process.execPath, '--input-type=module', '-e', source];
  return JSON.parse(await outputOf(track(t, spawn('sh', args, { stdio: ['ignore', 'pipe', 'inherit'] }))));
}

test('a connection waits while there is no fd for it, also after worker threads have come and gone', async (t) => {
  const workers = `for (let left = 3; left > 0; left--) {
    const worker = new Worker(${JSON.stringify(`import(${JSON.stringify(import.meta.resolve('#src/base/os/native.js'))}).then(({ native }) => native.queue.keep());`)}, { eval: true });
    await once(worker, 'exit');
  }`;
  for (const prelude of ['native.queue.keep();', `native.queue.keep(); ${workers}`]) {
    assert.deepEqual(await starve(t, prelude), { met: true, text: 'connected\nserved\n' });
  }
});
