import { reportDefect } from '../base/background.js';
import { codeOf, reasonOf } from '../base/errors.js';
import { report } from '../base/os/launch.js';

/**
 * Keeps this process running after a failure that no code expects: Node ends a process after an unhandled rejection or an uncaught
 * exception by default, and its connections with it. An exception cuts a callback short, so a start that is under way may wait for
 * what never comes: `failed` is called then.
 */
export function outliveDefects({ isStarting, failed }: { isStarting: () => boolean; failed: () => void }): void {
  process.on('unhandledRejection', (error) => reportDefect('an unhandled rejection', error));
  process.on('uncaughtException', (error) => {
    // What it has cut short is unknown.
    reportDefect('an uncaught exception', error, { leadsToTheEnd: true });
    if (!isStarting()) return;
    report({ ok: false, code: codeOf(error), text: reasonOf(error) });
    failed();
  });
}
