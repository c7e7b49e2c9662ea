import type { Command } from '../command.js';
import { type TargetArguments, targetFlags, targetPositionals } from '../target-options.js';

/** ms: the shortest interval of `status --watch`. Each look asks every worker; ten a second is more than an eye needs. */
const WATCH_LEAST_MS = 100;

interface StatusArguments extends TargetArguments {
  readonly json: boolean;
  /** '' when it is said without an interval. */
  readonly watch?: string | undefined;
}

/** Fast enough to see an upgrade, and nothing that a server would feel. */
const INTERVAL = '1s';

const command: Command<StatusArguments> = {
  name: 'status',
  summary: 'Show what runs, serves and drains',
  details: [
    'DELAY is how late the event loop is (99th percentile since the last question; the first answer has none). WAITING is the number of connections in the backlog, not accepted yet.',
    '--watch continues through upgrades and ends with the instance. It redraws a terminal; into a pipe or a file it writes a line for each change.',
  ],
  positionals: targetPositionals,
  flags: {
    ...targetFlags,
    json: { type: 'boolean', default: false, description: 'Print one JSON object; with --watch one a line' },
    watch: {
      type: 'string',
      placeholder: 'DURATION',
      description: `Repeat at this interval (--watch alone: ${INTERVAL})`,
    },
  },
  examples: [
    ['motya status', 'the instance that runs'],
    ['motya status --watch', 'live, while you upgrade in another terminal'],
    ['motya status --name shop --json', 'this instance, for programs'],
  ],
  exits: ['ok', 'failed', 'usage', 'notRunning', 'noAnswer'],
  async run({ json, watch: given, ...target }) {
    const { controlSocketFor } = await import('../target.js');
    const interval = given === undefined ? null : await intervalOf(given || INTERVAL);
    const path = await controlSocketFor(target, { changes: false });
    if (interval !== null) {
      const { watch } = await import('../views/watch.js');
      process.exitCode = await watch(path, interval, json);
      return;
    }
    const { requestStatus } = await import('../../control/client.js');
    const status = await requestStatus(path);
    if (json) {
      console.log(JSON.stringify(status));
      return;
    }
    const { statusLines } = await import('../views/status-view.js');
    console.log(statusLines(status).join('\n'));
  },
};
export default command;

/** ms */
async function intervalOf(text: string): Promise<number> {
  const { parseDuration } = await import('../../config/values.js');
  const { SettingsError } = await import('../../base/errors.js');
  try {
    const ms = parseDuration(text);
    if (ms >= WATCH_LEAST_MS) return ms;
    throw new RangeError(`must be at least ${WATCH_LEAST_MS}ms`);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new SettingsError(`--watch: ${error.message}, not ${JSON.stringify(text)}`);
  }
}
