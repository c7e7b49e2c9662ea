import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('./clients.mjs', import.meta.url));

/** Starts clients.mjs. `ask(question)`: what one of its clients' methods returns. */
export function startClients(options, env) {
  const child = fork(PROGRAM, [JSON.stringify(options)], { env });
  const exited = once(child, 'exit');
  exited.catch(() => {});
  const ask = async (question) => {
    child.send(question);
    const died = exited.then(([code, signal]) => {
      throw new Error(`the clients ended by themselves (${code ?? signal})`);
    });
    died.catch(() => {});
    const [answer] = await Promise.race([once(child, 'message'), died]);
    return answer;
  };
  return {
    ask,
    stop: async () => {
      const report = await ask('stop');
      await exited;
      return report;
    },
    kill: () => child.kill('SIGKILL'),
  };
}
