import { native } from '../base/os/native.js';
import { DEADLY } from '../base/os/signal-names.js';
import type { Keeper } from './keeper.js';

/**
 * What signals mean to a keeper. Each needs a handler, or it would end the keeper (SIGUSR1 would open a debugger), except as
 * PID 1, to whom the kernel sends only what is handled. `passed`: those that the instances give to their programs.
 */
export function handleKeeperSignals(
  keeper: Keeper,
  {
    reopenLogs,
    passed,
    ignored,
  }: { reopenLogs: () => void; passed: readonly NodeJS.Signals[]; ignored: (signal: NodeJS.Signals) => void },
): void {
  process.on('SIGCHLD', () => keeper.reap());
  process.on('SIGQUIT', () => keeper.upgrade());
  process.on('SIGTERM', () => keeper.stop());
  process.on('SIGINT', () => keeper.stop());
  process.on('SIGHUP', () => {
    reopenLogs();
    // They reopen theirs.
    keeper.pass('SIGHUP');
  });
  for (const signal of DEADLY) {
    process.on(signal, () => (passed.includes(signal) ? keeper.pass(signal) : ignored(signal)));
  }
  native.process.ignoreRealTimeSignals();
  if (passed.includes('SIGWINCH')) process.on('SIGWINCH', () => keeper.pass('SIGWINCH'));
}
