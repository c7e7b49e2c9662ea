import { native } from '../base/os/native.js';
import { DEADLY } from '../base/os/signal-names.js';
import type { Supervisor } from './supervisor.js';

/**
 * What signals mean to an instance: SIGQUIT hand over; SIGTERM and SIGINT stop gracefully, a second one at once; SIGHUP reopen
 * the log files. Those that the settings pass on go to the programs, too. Every other one that would end the process is ignored.
 * Install them before the instance is announced: SIGQUIT's default action ends the process.
 * @param ignored is told of one that does nothing
 * @returns removes the handlers.
 */
export function handleSignals(
  supervisor: Supervisor,
  { reopenLogs, ignored = () => {} }: { reopenLogs: () => void; ignored?: (signal: NodeJS.Signals) => void },
): () => void {
  const { passedSignals } = supervisor.settings;
  const passed = (signal: NodeJS.Signals): boolean => {
    const passes = passedSignals.includes(signal);
    if (passes) supervisor.signalPrograms(signal);
    return passes;
  };
  const handlers: [NodeJS.Signals, () => void][] = [
    // The supervisor has logged why it failed; a signal has no answer.
    [
      'SIGQUIT',
      () => {
        supervisor.upgrade().catch(() => {});
      },
    ],
    ['SIGTERM', () => supervisor.stop()],
    ['SIGINT', () => supervisor.stop()],
    [
      'SIGHUP',
      () => {
        reopenLogs();
        passed('SIGHUP');
        supervisor.hangUpPredecessors();
      },
    ],
    ['SIGWINCH', () => passed('SIGWINCH')],
    ...DEADLY.map((signal): [NodeJS.Signals, () => void] => [signal, () => passed(signal) || ignored(signal)]),
  ];
  for (const [signal, handler] of handlers) process.on(signal, handler);
  native.process.ignoreRealTimeSignals();
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
}
