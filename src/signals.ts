import type { Supervisor } from './supervisor.js';

/**
 * What signals mean to an instance: SIGQUIT hand over; SIGTERM and SIGINT stop gracefully, a second one at once; SIGHUP reopen
 * the log files. Install them before the instance is announced: SIGQUIT's default action ends the process.
 * @returns removes the handlers.
 */
export function handleSignals(supervisor: Supervisor, { reopenLogs }: { reopenLogs: () => void }): () => void {
  const handlers: [NodeJS.Signals, () => void][] = [
    // The supervisor has logged why it failed; nobody else is here to be told.
    ['SIGQUIT', () => void supervisor.upgrade().catch(() => {})],
    ['SIGTERM', () => supervisor.stop()],
    ['SIGINT', () => supervisor.stop()],
    [
      'SIGHUP',
      () => {
        reopenLogs();
        supervisor.hangUpPredecessors();
      },
    ],
  ];
  for (const [signal, handler] of handlers) process.on(signal, handler);
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}
