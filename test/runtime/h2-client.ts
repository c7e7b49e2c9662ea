import { once } from 'node:events';
import net from 'node:net';

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const SETTINGS = 4;
const PING = 6;
const GOAWAY = 7;
const ACK = 1;
const END_STREAM = 1;

/** Type, flags, stream and payload as RFC 9113 §4.1 lays them out. */
function frame(type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** GET / over http to `a`, from the static table (RFC 7541 appendix A); the authority as a literal. */
const REQUEST = Buffer.from([0x82, 0x86, 0x84, 0x41, 0x01, 0x61]);

/**
 * An HTTP/2 client that does what RFC 9113 §6.8 asks: it opens no stream after a GOAWAY, and goes on with those it has opened.
 * (Node's own closes its session at the first GOAWAY.)
 */
export class H2Client {
  readonly socket: net.Socket;
  readonly answered = new Set<number>();
  readonly goaways: number[] = [];
  readonly closed: Promise<void>;
  opened = 0;
  #buffer = Buffer.alloc(0);
  #wake = (): void => {};

  constructor(socket: net.Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {});
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('close', () => this.#wake());
    socket.write(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0)]));
  }

  static async connect(port: number): Promise<H2Client> {
    const socket = net.connect(port, '127.0.0.1');
    await once(socket, 'connect');
    return new H2Client(socket);
  }

  /** Opens a stream unless the server has asked for no more, or 20 are open. */
  request(): void {
    if (this.goaways.length > 0 || this.opened - this.answered.size >= 20) return;
    this.socket.write(frame(1, 4 | END_STREAM, 2 * this.opened++ + 1, REQUEST));
  }

  async allAnswered(): Promise<void> {
    while (this.answered.size < this.opened) {
      if (this.socket.destroyed) throw new Error(`${this.answered.size} of ${this.opened} answered`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #receive(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    while (this.#buffer.length >= 9) {
      const end = 9 + this.#buffer.readUIntBE(0, 3);
      if (this.#buffer.length < end) return;
      const [type, flags] = [this.#buffer[3] ?? 0, this.#buffer[4] ?? 0];
      const stream = this.#buffer.readUInt32BE(5);
      const payload = this.#buffer.subarray(9, end);
      this.#buffer = this.#buffer.subarray(end);
      if (type === SETTINGS && !(flags & ACK)) this.socket.write(frame(SETTINGS, ACK, 0));
      if (type === PING && !(flags & ACK)) this.socket.write(frame(PING, ACK, 0, Buffer.from(payload)));
      if (type === GOAWAY) this.goaways.push(payload.readUInt32BE(0));
      if (type <= 1 && flags & END_STREAM) this.answered.add(stream);
      this.#wake();
    }
  }
}
