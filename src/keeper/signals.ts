import type { Keeper } from './keeper.js';

/**
 * What signals mean to a keeper. Each needs a handler, or it would end the keeper (SIGUSR1 would open a debugger), except as
 * PID 1, to whom the kernel sends only what is handled. To instances SIGUSR1 and SIGUSR2 mean nothing, so they go no further.
 */
export function handleKeeperSignals(keeper: Keeper, { reopenLogs }: { reopenLogs: () => void }): void {
  process.on('SIGCHLD', () => keeper.reap());
  process.on('SIGQUIT', () => keeper.upgrade());
  process.on('SIGTERM', () => keeper.stop());
  process.on('SIGINT', () => keeper.stop());
  process.on('SIGHUP', () => {
    reopenLogs();
    keeper.reopenLogs();
  });
  for (const ignored of ['SIGUSR1', 'SIGUSR2'] as const) process.on(ignored, () => {});
}
