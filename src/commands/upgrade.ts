import type { ControlMessage, Result } from '../control/messages.js';
import type { Command } from './command.js';
import { EXIT } from './exit-status.js';
import { type TargetArguments, targetFlags, targetPositionals } from './target-options.js';

interface UpgradeArguments extends TargetArguments {
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** What the incumbent did in each of its phases (handover/phases.ts), for people. */
const DONE: Readonly<Record<string, string>> = {
  summoning: 'successor started and connected',
  offering: 'listeners handed to the successor',
  awaiting: 'successor booted and ready',
  pausing: 'incumbent stopped accepting',
  committed: 'successor accepts',
};

const command: Command<UpgradeArguments> = {
  name: 'upgrade',
  summary: 'Replace what runs by its next version',
  details: [
    'Starts a successor with the arguments of the running instance (or takes the one that waits), hands over, and tells how it went. When the new version cannot take over, the old one serves on.',
    '--dry-run ends the successor in any case, one that was waiting too.',
  ],
  positionals: targetPositionals,
  flags: {
    ...targetFlags,
    'dry-run': { type: 'boolean', default: false, description: 'Go as far as READY, then back' },
    json: { type: 'boolean', default: false, description: 'One JSON object a line' },
  },
  examples: [
    ['motya upgrade', 'new code, new settings, new Node'],
    ['motya upgrade --dry-run', 'would the new version take over?'],
  ],
  exits: ['ok', 'failed', 'usage', 'rejected', 'notRunning', 'noAnswer'],
  async run({ dryRun, json, ...target }) {
    const { controlSocketFor } = await import('./target.js');
    const { connectControl, ensureAnswers } = await import('../control/client.js');
    const path = controlSocketFor(target);
    const started = performance.now();
    // An instance that answers nothing would take the request up whenever it wakes: it must not get one.
    await ensureAnswers(path);
    const channel = connectControl(path);
    const old = channel.peer.pid;
    const result = await new Promise<Result | null>((resolve) => {
      channel.on('close', () => resolve(null));
      channel.on('message', (message: ControlMessage) => {
        if (message.type === 'RESULT') resolve(message);
        if (message.type !== 'PROGRESS' || message.phase === 'serving') return;
        if (json) console.log(JSON.stringify({ phase: message.phase, ms: message.ms }));
        else console.log(`${String(message.ms).padStart(7)} ms  ${DONE[message.phase] ?? message.phase}`);
      });
      channel.open();
      channel.send({ type: 'UPGRADE', dryRun });
    });
    const ms = Math.round(performance.now() - started);
    channel.close();
    const outcome = result ?? lost(old);
    if (json) {
      const { type: _, gapMicros, ...rest } = outcome;
      console.log(JSON.stringify({ ...rest, ...(gapMicros === undefined ? {} : { gapMs: gapMicros / 1000 }), ms }));
    } else if (outcome.ok) {
      const gap =
        outcome.gapMicros === undefined ? '' : `, ${(outcome.gapMicros / 1000).toFixed(1)} ms from COMMIT to LIVE`;
      console.log(`${outcome.text} (${ms} ms${gap})`);
    } else {
      console.error(
        `motya: the upgrade was rejected: ${outcome.text}${result === null || result.code === 'MOTYA_STOPPING' ? '' : `; pid ${old} serves on`}`,
      );
    }
    process.exitCode = outcome.ok ? EXIT.ok : EXIT.rejected;
  },
};
export default command;

function lost(pid: number): Result {
  return {
    type: 'RESULT',
    ok: false,
    code: 'MOTYA_PEER_GONE',
    text: `pid ${pid} ended before the upgrade was decided`,
  };
}
