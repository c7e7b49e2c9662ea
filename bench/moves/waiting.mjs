import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { freePort, until } from '../../dist-test/e2e/harness/index.js';
import { digits } from '../upgrade/lib/numbers.mjs';
import { table } from '../upgrade/lib/report.mjs';
import { withSpace } from '../upgrade/lib/space.mjs';

const SOCKETS = 200;
/** ms until the start is over. */
const SETTLE_MS = 5_000;
/** ms until the delay of the event loops is not measured any more, which the status that `motya upgrade` asks for begins (base/loop-delay.ts). */
const UPGRADED_MS = 80_000;
/** ms of a tick of /proc (sysconf(_SC_CLK_TCK) is 100 on Linux). */
const TICK_MS = 10;

const PROGRAM = `'use strict';
const { WebSocketServer } = require(${JSON.stringify(createRequire(import.meta.url).resolve('ws'))});
const server = require('node:http').createServer((request, response) => response.end());
new WebSocketServer({ server }).on('connection', (socket) => socket.on('error', () => {}));
server.listen(process.env.PORT, '127.0.0.1');
`;

/** An old generation that waits for idle WebSockets: what it costs. */
export async function waiting({ minutes, say }) {
  const { before, drained } = await withSpace(async (space) => {
    const port = await freePort();
    space.write('server.cjs', PROGRAM);
    const config = space.write('motya.yaml', 'services: { web: { script: server.cjs } }\ndrain: { webSockets: 1h }\n');
    const env = { PORT: String(port), MOTYA_PROBATION: '0' };
    const first = space.motya(['start', '--config', config, '--name', 'bench'], { env });
    await first.waitFor('serving');
    const sockets = Array.from({ length: SOCKETS }, () =>
      new WebSocket(`ws://127.0.0.1:${port}`).on('error', () => {}),
    );
    try {
      const areOpen = () => sockets.every(({ readyState }) => readyState === WebSocket.OPEN);
      await until(areOpen, { what: 'open sockets' });
      const processes = { supervisor: first.pid, worker: childOf(first.pid) };
      await delay(SETTLE_MS);
      const before = await measure(processes, minutes);
      say(`serving: ${JSON.stringify(before)}`);
      const { code, stderr } = await space.run(['upgrade', '--name', 'bench'], { env });
      if (code !== 0) throw new Error(stderr);
      await delay(UPGRADED_MS);
      const drained = await measure(processes, minutes);
      say(`draining: ${JSON.stringify(drained)}`);
      if (!areOpen()) throw new Error('the old generation has not kept its sockets');
      return { before, drained };
    } finally {
      for (const socket of sockets) socket.terminate();
    }
  });
  const row = (what, { worker, supervisor }) => [
    what,
    digits(worker.cpu),
    digits(supervisor.cpu),
    digits(worker.memory),
    digits(supervisor.memory),
  ];
  const head = [
    'generation 1',
    'CPU of its worker, ms',
    'of its supervisor, ms',
    'memory of its worker, MB',
    'of its supervisor, MB',
  ];
  return `${table(head, [row('serves', before), row('drains', drained)])}

${SOCKETS} idle WebSockets (\`ws\`), one worker. CPU: user and system time in ${minutes} min; memory: resident, at the end of it. Begun 80 s after the
upgrade: for 75 s after a question for the status (\`motya upgrade\` asks one) both processes measure the delay of their event loops,
which takes some 300 ms of CPU time a minute.`;
}

async function measure(processes, minutes) {
  const names = Object.keys(processes);
  const began = names.map((name) => ticks(processes[name]));
  await delay(minutes * 60_000);
  const of = (name, index) => ({
    cpu: (ticks(processes[name]) - began[index]) * TICK_MS,
    memory: Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${processes[name]}/status`, 'utf8'))[1]) / 1024,
  });
  return Object.fromEntries(names.map((name, index) => [name, of(name, index)]));
}

const fields = (pid) =>
  readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
/** utime and stime (proc_pid_stat(5)). */
const ticks = (pid) => Number(fields(pid)[11]) + Number(fields(pid)[12]);

function childOf(pid) {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(' '),
  );
  return Number(children.find((child) => child !== ''));
}
