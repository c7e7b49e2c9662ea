'use strict';
// A rolling restart by hand: SIGHUP replaces one worker after the other. Fork, wait until it listens, disconnect the old one.
// Its keep-alive connections keep it alive, so after two seconds (as in the example of Node's documentation) it is told to
// end by SIGTERM, and after two more by SIGKILL.
const cluster = require('node:cluster');
const { once } = require('node:events');
const { join } = require('node:path');

const GRACE_MS = 2_000;
cluster.setupPrimary({ exec: process.env.SCRIPT ?? join(__dirname, 'server.cjs') });

async function fork() {
  const worker = cluster.fork();
  await once(worker, 'listening');
  return worker;
}

async function retire(worker) {
  const exited = once(worker, 'exit');
  worker.disconnect();
  const timers = ['SIGTERM', 'SIGKILL'].map((signal, index) =>
    setTimeout(() => worker.process.kill(signal), (index + 1) * GRACE_MS),
  );
  await exited;
  for (const timer of timers) clearTimeout(timer);
}

async function main() {
  const workers = await Promise.all(Array.from({ length: Number(process.env.WORKERS) }, fork));
  let rolled = 0;
  process.on('SIGHUP', async () => {
    for (const [index, old] of workers.entries()) {
      workers[index] = await fork();
      await retire(old);
    }
    rolled += 1;
    console.log(`rolled ${rolled}`);
  });
  process.once('SIGTERM', async () => {
    for (const worker of workers) worker.process.kill('SIGTERM');
    await Promise.all(workers.map((worker) => once(worker, 'exit')));
    process.exit(0);
  });
  console.log('serving');
}

main();
