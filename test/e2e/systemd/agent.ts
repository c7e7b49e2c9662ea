import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { get } from 'node:http';

/** What a test wants done inside of a sandbox; the answer has the same `id`. */
export type Question =
  | { readonly id: number; readonly command: readonly string[] }
  | { readonly id: number; readonly port: number; readonly path: string; readonly begun: string };

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export type Answer = Ran & { readonly id: number };

/** s that a command may take: a reload that never ends must end the test. */
const COMMAND_S = 60;

// It is inside for good: to enter the namespaces anew for each look at a unit costs more than the look.
process.on('message', async (question: Question) => {
  const ran = 'command' in question ? await run(question.command) : await fetched(question);
  process.send?.({ ...ran, id: question.id } satisfies Answer);
});
process.once('disconnect', () => process.exit());

function run(command: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(
      'timeout',
      ['-k', '1', String(COMMAND_S), ...command],
      { maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
      },
    );
  });
}

/** A GET on a connection of its own: its body, or the error's code, as stdout. */
function fetched({ port, path, begun }: { port: number; path: string; begun: string }): Promise<Ran> {
  return new Promise((resolve) => {
    let body = '';
    const end = (stdout: string): void => resolve({ code: 0, stdout, stderr: '' });
    const failed = (error: NodeJS.ErrnoException): void => end(body + (error.code ?? error.message));
    get({ port, host: '127.0.0.1', path, agent: false }, (answer) => {
      writeFileSync(begun, '');
      answer.setEncoding('utf8');
      answer.on('data', (text: string) => {
        body += text;
      });
      answer.on('error', failed);
      answer.on('end', () => end(body));
    }).on('error', failed);
  });
}
