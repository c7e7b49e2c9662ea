import { setTimeout as delay } from 'node:timers/promises';
import { MotyaError } from '../../base/errors.js';
import { duration, timeOfDay } from '../../base/units.js';
import { requestStatus, type Status } from '../../control/client.js';
import { EXIT } from '../exit-status.js';
import { withCode } from '../failure-line.js';
import { Screen } from '../terminal/screen.js';
import { eventsOf, statusLine, statusLines } from './status-view.js';

/** Where a status is shown again and again. */
interface View {
  show(status: Status): void;
  /** The instance does not answer just now. */
  trouble(text: string): void;
  close(): void;
}

/**
 * Shows the status every `interval` ms until the instance ends or the user leaves. The path is the same for all generations, so
 * after an upgrade the successor answers.
 * @returns the exit status
 */
export async function watch(path: string, interval: number, json: boolean): Promise<number> {
  const leave = new AbortController();
  const stop = (): void => leave.abort();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, stop);
  // The reader (head, less) has gone.
  process.stdout.once('error', stop);
  const view = viewFor(interval, json);
  let name = '';
  try {
    while (!leave.signal.aborted) {
      try {
        const status = await requestStatus(path);
        name = status.name;
        view.show(status);
      } catch (error) {
        if (!(error instanceof MotyaError) || (error.code === 'ERR_MOTYA_NOT_RUNNING' && name === '')) throw error;
        if (error.code === 'ERR_MOTYA_NOT_RUNNING') {
          view.close();
          console.error(
            withCode(`${timeOfDay(Date.now())} ${name} has ended: no instance answers any more`, error.code),
          );
          return EXIT.notRunning;
        }
        view.trouble(withCode(error.message, error.code));
      }
      await delay(interval, undefined, { signal: leave.signal }).catch(() => {});
    }
    return EXIT.ok;
  } finally {
    view.close();
  }
}

function viewFor(interval: number, json: boolean): View {
  if (json) return { show: (status) => console.log(JSON.stringify(status)), trouble: console.error, close: () => {} };
  return process.stdout.isTTY ? liveView(interval) : lineView();
}

/** A line for each change. */
function lineView(): View {
  let before = '';
  const say = (events: string, text: string): void => {
    if (events !== before) console.log(`${timeOfDay(Date.now())} ${text}`);
    before = events;
  };
  return {
    show: (status) => say(eventsOf(status), statusLine(status)),
    trouble: (text) => say(text, text),
    close: () => {},
  };
}

function liveView(interval: number): View {
  const screen = new Screen(process.stdout);
  // Ctrl-Z: the shell gets its screen back, and we ours after `fg`.
  const suspend = (): void => {
    screen.leave();
    process.kill(process.pid, 'SIGSTOP');
  };
  const resume = (): void => screen.enter();
  process.on('SIGTSTP', suspend);
  process.on('SIGCONT', resume);
  const heading = (): string => `${timeOfDay(Date.now())}  every ${duration(interval)}, Ctrl-C leaves`;
  let last: readonly string[] = [];
  screen.enter();
  return {
    show: (status) => {
      last = statusLines(status);
      screen.show([heading(), ...last]);
    },
    trouble: (text) => screen.show([heading(), text, ...last]),
    close: () => {
      process.off('SIGTSTP', suspend);
      process.off('SIGCONT', resume);
      screen.close();
    },
  };
}
