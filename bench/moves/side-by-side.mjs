import { freePort, until } from '../../dist-test/e2e/harness/index.js';
import { digits, median, sum, verdict } from '../upgrade/lib/numbers.mjs';
import { table } from '../upgrade/lib/report.mjs';
import { withSpace } from '../upgrade/lib/space.mjs';
import { MotyaSubject } from '../upgrade/subjects/motya.mjs';
import { installPm2, PM2_VERSION, Pm2Subject } from '../upgrade/subjects/pm2.mjs';
import { RollingSubject } from '../upgrade/subjects/rolling.mjs';
import { startClients } from './clients-process.mjs';
import { HaproxySubject, lacks, NginxSubject } from './proxies.mjs';

const WORKERS = 2;
/** Long enough for both generations to be there together. */
const PROBATION = '1s';

const SUBJECTS = [
  { name: 'Motya, `motya upgrade`', Subject: MotyaSubject, isOurs: true },
  { name: `pm2 ${PM2_VERSION}, \`pm2 reload\``, Subject: Pm2Subject },
  { name: 'node:cluster, rolling restart', Subject: RollingSubject },
  { name: 'nginx, `nginx -s reload`', Subject: NginxSubject },
  { name: 'HAProxy, reload (SIGUSR2)', Subject: HaproxySubject },
];

/** Clients of each habit (test/e2e/moves/clients/habits.ts). */
const habitsOf = (clients) => {
  const few = Math.round(clients * 0.02);
  return { idle: clients - 5 * few, busy: 2 * few, upload: few, pieces: few, pipelined: few };
};

/** The same program and the same clients, while it is replaced again and again. */
export async function sideBySide({ script, clients, deploys, say }) {
  const rows = [];
  const leftOut = [];
  let isMet = true;
  for (const { name, Subject, isOurs } of SUBJECTS) {
    const reason = lacks(Subject);
    if (reason !== null) {
      leftOut.push(`${name} (${reason})`);
      say(`left out: ${name}: ${reason}`);
      continue;
    }
    if (Subject === Pm2Subject) installPm2();
    const { report, durations } = await measure(Subject, { script, clients, deploys });
    const { requests, untold: closes, saysClose, reconnects, longest } = report;
    const failed = sum(['lost', 'missing', 'wrong', 'doubled', 'refused'].map((kind) => report[kind]));
    if (isOurs) isMet = failed + closes + saysClose + reconnects === 0;
    say(`${name}: ${failed} failed, ${closes} closes, ${saysClose} told, ${reconnects} reconnects of ${requests}`);
    const counts = [failed, closes, saysClose, reconnects].map((count) => (count === 0 ? '0' : `**${count}**`));
    rows.push([name, deploys, requests, ...counts, digits(longest), digits(median(durations))]);
  }
  const head = [
    'subject',
    'deploys',
    'requests',
    'failed',
    'closes seen',
    '`Connection: close` seen',
    'reconnects',
    'longest wait, ms',
    'deploy, ms',
  ];
  return `${table(head, rows)}
${leftOut.length > 0 ? `\nLeft out: ${leftOut.join(', ')}.\n` : ''}
Motya: ${verdict(isMet, '0 failed, 0 closes, 0 `Connection: close`')}. ${clients} keep-alive clients: 90 % with a GET every 0.2 to 0.8 s, 4 %
with one after the other, which the program takes up to 200 ms for, 2 % that POST bodies in pieces, 2 % that send heads in pieces,
2 % that pipeline up to 4 requests. None ever repeats a request. Failed: a request whose connection ended before its answer, that has
none, a wrong one or two, or a connection that was refused. Closes seen: without a \`Connection: close\` before. A client whose
connection ends begins another one. Longest wait: for one answer, beyond what the program takes. Deploy: from the command until the old
processes have gone (median). Motya with a probation of ${PROBATION}. ${WORKERS} workers each; nginx and HAProxy stand in front of one node that is
not replaced.`;
}

async function measure(Subject, { script, clients, deploys }) {
  return withSpace(async (space) => {
    const port = await freePort();
    const env = { PORT: String(port), MOTYA_PROBATION: PROBATION, SCRIPT: script };
    const subject = await new Subject(space, { script, env, workers: WORKERS }).started();
    const load = startClients({ port, ...habitsOf(clients) }, space.env);
    try {
      // Each has its connection, and has used it.
      await until(async () => (await load.ask('report')).answers > 3 * clients, { what: 'answers', deadline: 120_000 });
      const before = await load.ask('report');
      const durations = [];
      for (let count = 0; count < deploys; count++) durations.push((await subject.upgrade()).goneMs);
      return { report: since(before, await load.stop()), durations };
    } finally {
      load.kill();
      await subject.stop?.();
    }
  });
}

/** Counts without those of the warm-up. */
function since(before, after) {
  const counts = Object.entries(after).map(([key, value]) => [
    key,
    typeof value === 'number' && key !== 'longest' ? value - before[key] : value,
  ]);
  return Object.fromEntries(counts);
}
