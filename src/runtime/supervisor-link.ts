import type { Channel } from '../base/channel.js';
import type { ReceivedFds } from '../base/received-fds.js';
import type { ListenRequest } from '../listeners/listen-request.js';
import type { WorkerMessage, WorkerShapes } from './worker-messages.js';

/** ms for a worker to get an answer to LISTEN: the supervisor only binds; 10 s is a supervisor that is stopped. */
const LISTEN_ANSWER_MS = 10_000;
/** ms between two warnings about that. */
const EXHAUSTED_SAID_MS = 10_000;

type Refusal = Omit<Extract<WorkerMessage, { type: 'REFUSED' }>, 'type' | 'id'>;
/** A listener that the worker may use. The receiver owns `fd`. */
export type Grant = Omit<Extract<WorkerMessage, { type: 'LISTENER' }>, 'type' | 'id'> & { readonly fd: number };
export type ListenAnswer = { readonly granted: Grant } | { readonly refused: Refusal };

/** ECONNABORTED: `listen()` has no better name for a supervisor that is gone or does not answer. */
const NO_SUPERVISOR: Refusal = { code: 'ECONNABORTED', errno: -103, syscall: 'listen' };

/** The worker's questions to its supervisor, over the channel. */
export class SupervisorLink {
  readonly #channel: Channel<WorkerShapes>;
  readonly #pending = new Map<number, (answer: ListenAnswer) => void>();
  #nextId = 1;
  #holders = 0;
  #exhaustionSaid = Number.NEGATIVE_INFINITY;

  constructor(channel: Channel<WorkerShapes>) {
    this.#channel = channel;
    channel.unref();
  }

  send(message: WorkerMessage, fds: readonly number[] = []): void {
    this.#channel.send(message, fds);
  }

  /** Told to the log, not too often. `code` as accept(2) has it. */
  exhausted(code: string): void {
    if (performance.now() - this.#exhaustionSaid < EXHAUSTED_SAID_MS) return;
    this.#exhaustionSaid = performance.now();
    this.send({ type: 'EXHAUSTED', code });
  }

  /** Until {@link letGo} the process stays alive, as it would by a listening socket of its own. */
  hold(): void {
    this.#holders++;
    this.#channel.ref();
  }

  letGo(): void {
    this.#holders--;
    if (this.#holders === 0) this.#channel.unref();
  }

  /**
   * Asks for a listener. `answered` is called before this returns, unless the supervisor is still waiting for its listeners:
   * then later.
   */
  askListener(request: ListenRequest, answered: (answer: ListenAnswer) => void): void {
    const id = this.#nextId++;
    this.#channel.send({ type: 'LISTEN', id, request });
    const received = this.#channel.receiveSync((m) => isAnswer(m) && m.id === id, LISTEN_ANSWER_MS);
    if (received === null) answered({ refused: NO_SUPERVISOR });
    else if (received.message.type === 'PENDING') this.#wait(id, answered);
    else answered(toAnswer(received.message, received.fds));
  }

  /** Is the socket at this absolute path a listener of some generation? Without a supervisor to ask: perhaps. */
  owns(path: string): boolean {
    const id = this.#nextId++;
    this.#channel.send({ type: 'OWNS', id, path });
    const received = this.#channel.receiveSync((m) => m.type === 'OWNED' && m.id === id, LISTEN_ANSWER_MS);
    return received === null || (received.message.type === 'OWNED' && received.message.owned);
  }

  /** Whether the incumbent serves this program's clients on the port, and this process has not taken that over. */
  isIncumbents(port: number): boolean {
    const id = this.#nextId++;
    this.#channel.send({ type: 'ANSWERS', id, port });
    const received = this.#channel.receiveSync((m) => m.type === 'OWNED' && m.id === id, LISTEN_ANSWER_MS);
    return received?.message.type === 'OWNED' && received.message.owned;
  }

  /** Takes the late answers to {@link askListener}. */
  receive(message: WorkerMessage, fds: ReceivedFds): void {
    if (!isAnswer(message)) return;
    const answered = this.#pending.get(message.id);
    this.#pending.delete(message.id);
    if (answered !== undefined) answered(toAnswer(message, fds));
    // `listen()` has failed long ago. For the supervisor it is in use here, and the program's next attempt would be refused.
    else if (message.type === 'LISTENER') this.send({ type: 'RELEASE', key: message.key });
  }

  /** The supervisor will not answer any more. */
  lost(): void {
    for (const answered of this.#pending.values()) answered({ refused: NO_SUPERVISOR });
    this.#pending.clear();
  }

  /** An unanswered `listen()` or `bind()` keeps the process alive, as the answered one will. */
  #wait(id: number, answered: (answer: ListenAnswer) => void): void {
    this.hold();
    this.#pending.set(id, (answer) => {
      answered(answer);
      this.letGo();
    });
  }
}

type Answer = Extract<WorkerMessage, { type: 'LISTENER' | 'PENDING' | 'REFUSED' }>;

const isAnswer = (message: WorkerMessage): message is Answer =>
  message.type === 'LISTENER' || message.type === 'PENDING' || message.type === 'REFUSED';

function toAnswer(message: WorkerMessage, fds: ReceivedFds): ListenAnswer {
  if (message.type === 'LISTENER') {
    const { type: _, id: __, ...granted } = message;
    return { granted: { ...granted, fd: fds.take(0) } };
  }
  if (message.type === 'REFUSED') return { refused: message };
  return { refused: NO_SUPERVISOR };
}
