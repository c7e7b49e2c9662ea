import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type LoadOptions, startLoad } from './load.js';
import type { LoadReport } from './tally.js';

/**
 * The load driver as a process of its own: `node cli.js --port 8080 --keep-alive 20 --seconds 10` prints the report as
 * JSON and exits with 1 if a request failed. Without `--seconds` it runs until SIGINT, SIGTERM or the end of its parent.
 * As a forked child it takes 'report', 'mark' and 'stop' as messages and answers each with a report.
 */
const { values } = parseArgs({
  options: {
    host: { type: 'string' },
    port: { type: 'string', multiple: true },
    path: { type: 'string' },
    tls: { type: 'boolean' },
    seconds: { type: 'string' },
    resource: { type: 'string' },
    anonymous: { type: 'boolean' },
    'keep-alive': { type: 'string' },
    fresh: { type: 'string' },
    slow: { type: 'string' },
    upload: { type: 'string' },
    'web-socket': { type: 'string' },
    tcp: { type: 'string' },
    udp: { type: 'string' },
    http2: { type: 'string' },
    'think-ms': { type: 'string' },
    'limit-ms': { type: 'string' },
    'slow-ms': { type: 'string' },
    'upload-ms': { type: 'string' },
    'upload-bytes': { type: 'string' },
    streams: { type: 'string' },
  },
});

const NUMBERS = new Set(['seconds', 'keep-alive', 'fresh', 'slow', 'upload', 'web-socket', 'tcp', 'udp', 'http2']);

function optionsOf(given: typeof values): LoadOptions {
  const options: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if (name === 'seconds') continue;
    const key = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    const isNumber = NUMBERS.has(name) || name.endsWith('-ms') || name.endsWith('-bytes') || name === 'streams';
    options[key] = name === 'port' ? (value as string[]).map(Number) : isNumber ? Number(value) : value;
  }
  return options as LoadOptions;
}

const load = startLoad(optionsOf(values));
let stopped: Promise<LoadReport> | undefined;
const stop = () => {
  stopped ??= load.stop();
  return stopped;
};

if (process.send !== undefined) {
  process.on('message', async (message) => {
    process.send?.(await (message === 'stop' ? stop() : message === 'mark' ? load.mark() : load.report()));
    if (message === 'stop') process.disconnect();
  });
  process.once('disconnect', stop);
} else {
  const signalled = new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  const over = new AbortController();
  const time =
    values.seconds === undefined ? new Promise<void>(() => {}) : wait(Number(values.seconds) * 1000, undefined, over);
  await Promise.race([signalled, time]);
  over.abort();
  const report = await stop();
  process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  process.exitCode = report.failures === 0 ? 0 : 1;
}
