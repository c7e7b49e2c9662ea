import { randomBytes } from 'node:crypto';
import { Exchange, type Reader } from './exchange.js';
import { whoAnswered } from './http1.js';
import { type Run, repeat, think } from './run.js';
import { dial } from './target.js';

const MESSAGE_BYTES = 1024;

/** Echo over TCP: the server greets with one line of JSON that says who it is and then sends back every byte. */
export async function tcpClient(run: Run): Promise<void> {
  let exchange: Exchange | undefined;
  await repeat(run, 'tcp', async () => {
    if (exchange === undefined) {
      const connectAt = run.tally.now();
      const greeted = new Exchange(await dial(run.tally, run.nextAddress(), run.tls, run.limitMs));
      const line = await greeted.ask(new LineReader(), run.limitMs, () => {});
      run.tally.answer('tcp', { who: whoAnswered(run, line), connectAt });
      exchange = greeted;
    }
    const current = exchange;
    exchange = undefined;
    if (current.ended) {
      run.tally.idleCloses += 1;
      return current.close(run.limitMs);
    }
    const message = randomBytes(MESSAGE_BYTES);
    await current.ask(new EchoReader(message), run.limitMs, () => {
      current.socket.write(message);
    });
    run.tally.answer('tcp', {});
    exchange = current;
    await think(run);
  });
  try {
    await exchange?.close(run.limitMs);
  } catch (error) {
    run.tally.fail('tcp', error);
  }
}

abstract class BytesReader<T> implements Reader<T> {
  protected bytes: Buffer = Buffer.alloc(0);

  get started(): boolean {
    return this.bytes.length > 0;
  }

  get progress(): string {
    return `${this.bytes.length} bytes came`;
  }

  push(bytes: Buffer): T | undefined {
    this.bytes = Buffer.concat([this.bytes, bytes]);
    return this.whole();
  }

  /** The answer, if it is complete; throws if it cannot become right any more. */
  protected abstract whole(): T | undefined;
}

class LineReader extends BytesReader<string> {
  protected override whole(): string | undefined {
    const end = this.bytes.indexOf('\n');
    if (end >= 0 && end < this.bytes.length - 1) throw new Error('bytes after the greeting');
    return end < 0 ? undefined : this.bytes.toString('utf8', 0, end);
  }
}

class EchoReader extends BytesReader<true> {
  readonly #expected: Buffer;

  constructor(expected: Buffer) {
    super();
    this.#expected = expected;
  }

  protected override whole(): true | undefined {
    if (!this.bytes.equals(this.#expected.subarray(0, this.bytes.length))) throw new Error('the echo differs');
    return this.bytes.length === this.#expected.length ? true : undefined;
  }
}
