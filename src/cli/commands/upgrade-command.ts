import type { ControlMessage, Result } from '../../control/control-messages.js';
import { UNKNOWN_ENDS } from '../../control/outcomes.js';
import type { Command } from '../command.js';
import { EXIT } from '../exit-status.js';
import { type TargetArguments, targetFlags, targetPositionals } from '../target-options.js';

interface UpgradeArguments extends TargetArguments {
  readonly dryRun: boolean;
  readonly wait: boolean;
  readonly detach: boolean;
  readonly json: boolean;
  readonly force: boolean;
  readonly allowRemoved: boolean;
}

const command: Command<UpgradeArguments> = {
  name: 'upgrade',
  summary: 'Replace the running instance by its next version',
  details: [
    'Starts a successor with the arguments of the running instance, or takes the one that waits, hands over, and says how it went. When the new version cannot take over, the old one serves on.',
    'Returns when the new version has passed its probation (settings: probation, health), or when the old one serves again because it has not; --detach returns before the probation. --wait also waits until the old version has drained.',
    '--dry-run ends the successor in any case, also one that was waiting. Ctrl-C ends the command, not the upgrade.',
  ],
  positionals: targetPositionals,
  flags: {
    ...targetFlags,
    force: { type: 'boolean', default: false, description: 'Replace the instance even if it does not answer' },
    'allow-removed': {
      type: 'boolean',
      default: false,
      description: 'Let listeners that the new version does not ask for end, even if clients still connect to them',
    },
    'dry-run': { type: 'boolean', default: false, description: 'Go as far as READY, then end the successor' },
    wait: { type: 'boolean', default: false, description: 'Also wait until the old instance has drained' },
    detach: {
      type: 'boolean',
      default: false,
      description: 'Return when the new version serves, before its probation',
    },
    json: { type: 'boolean', default: false, description: 'Print one JSON object a line' },
  },
  examples: [
    ['motya upgrade', 'new code, new settings, new Node'],
    ['motya upgrade --wait', 'also wait until the old connections have ended'],
    ['motya upgrade --detach', 'do not wait for the probation'],
    ['motya upgrade --dry-run', 'would the new version take over?'],
    ['motya upgrade --force', 'also when the old instance is stopped or spins: it is ended'],
  ],
  exits: ['ok', 'failed', 'usage', 'rejected', 'rolledBack', 'notRunning', 'noAnswer'],
  async run({ dryRun, wait, detach, json, force, allowRemoved, ...target }) {
    const { SettingsError } = await import('../../base/errors.js');
    if (wait && detach) throw new SettingsError('--wait: does not go with --detach, which waits for nothing');
    const { controlSocketFor } = await import('../target.js');
    const { connectControl, ensureAnswers, WedgedError } = await import('../../control/client.js');
    const { OldInstance, drainEndOf } = await import('../views/drain-view.js');
    const { jsonReporter, PeopleReport } = await import('../views/upgrade-view.js');
    const { printFailure } = await import('../failure-line.js');
    const { printable } = await import('../../base/printable.js');
    const { differencesFrom } = await import('../process-differences.js');
    const path = await controlSocketFor(target);
    const started = performance.now();
    // An instance that answers nothing would take the request up whenever it wakes: it must not get one.
    const wedged = await ensureAnswers(path).then(
      () => null,
      (error: unknown) => {
        if (!force || dryRun || !(error instanceof WedgedError)) throw error;
        return error.peer;
      },
    );
    if (wedged !== null) {
      const { replaceByForce } = await import('../force-upgrade.js');
      const result = await replaceByForce(wedged);
      process.exitCode = exitOf(result);
      const report = json ? jsonReporter : new PeopleReport();
      report.outcome(result, { ms: Math.round(performance.now() - started), old: wedged.pid, drain: null });
      report.close();
      return;
    }
    const channel = connectControl(path);
    const old = channel.peer.pid;
    const instance = new OldInstance(channel);
    const report = json ? jsonReporter : new PeopleReport();
    const differences = differencesFrom(old);
    if (differences !== null && (differences.environment.length > 0 || differences.node !== null)) {
      report.differs(differences);
    }
    process.once('SIGINT', () => {
      report.close();
      const text = 'what has begun goes on without this command; motya status tells more';
      if (json) console.log(JSON.stringify({ ok: false, code: 'ERR_MOTYA_INTERRUPTED', text }));
      printFailure(text, 'ERR_MOTYA_INTERRUPTED');
      process.exit(EXIT_INTERRUPTED);
    });
    const decided = await new Promise<Result | null>((resolve) => {
      channel.on('close', () => resolve(null));
      channel.on('message', (message: ControlMessage) => {
        if (message.type === 'RESULT') resolve({ ...message, text: printable(message.text) });
        if (message.type === 'LIVE') report.live(message, Math.round(performance.now() - started));
        if (message.type === 'PROGRESS' && message.phase !== 'serving')
          report.phase(printable(message.phase), message.ms, message);
      });
      channel.open();
      channel.send({ type: 'UPGRADE', dryRun, settled: !detach, allowRemoved });
    });
    const result = decided ?? (await (await import('../current-owner.js')).lost(path, old));
    const ms = Math.round(performance.now() - started);
    process.exitCode = exitOf(result);
    const isDraining = result.ok && !dryRun;
    report.outcome(result, { ms, old, drain: isDraining ? await instance.drain() : null });
    if (isDraining && wait) {
      const since = performance.now();
      await instance.drained((drain) => report.draining(drain));
      const took = Math.round(performance.now() - since);
      report.drained({ pid: old, how: await drainEndOf(path, old), ms: took });
    }
    report.close();
    channel.close();
  },
};
export default command;

/** 128 + SIGINT, as shells say it. */
const EXIT_INTERRUPTED = 130;

function exitOf({ ok, code }: Result): number {
  if (ok) return EXIT.ok;
  if (code === 'ERR_MOTYA_ROLLED_BACK') return EXIT.rolledBack;
  return UNKNOWN_ENDS.includes(code) ? EXIT.failed : EXIT.rejected;
}
