import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Answer, Question, Ran } from './agent.js';

type Wanted<T> = T extends unknown ? Omit<T, 'id'> : never;

/** The way into a sandbox: an agent that is there, does what it is asked, and ends with the sandbox or with us. */
export class Inside {
  readonly #agent: ChildProcess;
  readonly #asked = new Map<number, { resolve(ran: Ran): void; reject(error: Error): void }>();
  #last = 0;

  /** `command` starts the agent inside. */
  constructor([file = '', ...args]: readonly string[]) {
    this.#agent = spawn(file, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#agent.on('message', ({ id, ...ran }: Answer) => {
      this.#asked.get(id)?.resolve(ran);
      this.#forget(id);
    });
    this.#agent.once('exit', (code, signal) => {
      for (const [id, { reject }] of this.#asked) {
        reject(new Error(`the agent in the sandbox ended by itself (${code ?? signal})`));
        this.#forget(id);
      }
    });
    // Only questions are waited for.
    this.#agent.unref();
    this.#agent.channel?.unref();
  }

  ask(question: Wanted<Question>): Promise<Ran> {
    this.#last += 1;
    const id = this.#last;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#agent.channel?.ref();
      this.#agent.send({ ...question, id }, (error) => {
        if (error === null) return;
        this.#forget(id);
        reject(error);
      });
    });
  }

  /** Resolves when the agent has ended. */
  async close(): Promise<void> {
    if (this.#agent.exitCode !== null || this.#agent.signalCode !== null) return;
    const exited = once(this.#agent, 'exit');
    this.#agent.ref();
    if (this.#agent.connected) this.#agent.disconnect();
    await exited;
  }

  #forget(id: number): void {
    this.#asked.delete(id);
    if (this.#asked.size === 0) this.#agent.channel?.unref();
  }
}
