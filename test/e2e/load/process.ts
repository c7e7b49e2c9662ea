import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LoadOptions, MarkedLoad } from './load.js';
import type { LoadReport } from './tally.js';

type Question = 'report' | 'mark' | 'stop';

const CLI = fileURLToPath(new URL('./cli.js', import.meta.url));

/**
 * As `startLoad`, in a process of its own, so that the driver and the test do not delay each other. `command` starts the
 * driver's cli.js; what stands before it must leave its fds and environment alone.
 */
export function startLoadProcess(
  options: LoadOptions,
  env: NodeJS.ProcessEnv = process.env,
  [file = '', ...args]: readonly string[] = [process.execPath, CLI],
): MarkedLoad {
  const child: ChildProcess = spawn(file, [...args, ...flagsOf(options)], {
    env,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  // A driver that dies makes every question below fail; by itself it is no uncaught exception.
  exited.catch(() => {});
  const ask = async (question: Question): Promise<LoadReport> => {
    const died = exited.then(([code, signal]) => {
      throw new Error(`the load driver ended by itself (${code ?? signal})`);
    });
    child.send(question);
    const [report] = await Promise.race([once(child, 'message'), died]);
    died.catch(() => {});
    return report as LoadReport;
  };
  // One question at a time: answers carry no number.
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = (question: Question) => {
    const answer = last.then(() => ask(question));
    last = answer.catch(() => {});
    return answer;
  };
  return {
    report: () => inTurn('report'),
    mark: () => inTurn('mark'),
    stop: async () => {
      const report = await inTurn('stop');
      await exited;
      return report;
    },
  };
}

function flagsOf(options: LoadOptions): string[] {
  return Object.entries(options).flatMap(([key, value]) => {
    const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    if (value === true) return [flag];
    if (value === undefined || value === false) return [];
    return [value].flat().flatMap((one) => [flag, String(one)]);
  });
}
