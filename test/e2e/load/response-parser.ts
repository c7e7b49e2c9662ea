/** One complete HTTP/1.1 response. Header names are in lower case; of a repeated header the last one is kept. */
export interface Response {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** The server will close the connection after this response: it is not to be used again. */
  readonly closes: boolean;
}

/** The server sent bytes that are no HTTP/1.1 response to the request, or more bytes than one response has. */
export class MalformedResponse extends Error {}

const CRLF = Buffer.from('\r\n');
const END_OF_HEAD = Buffer.from('\r\n\r\n');
const STATUS_LINE = /^HTTP\/1\.1 (\d{3}) [\t\x20-\x7e]*$/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/;
const HEAD_BYTES = 64 * 1024;

interface Head {
  readonly status: number;
  readonly headers: Map<string, string>;
  /** Number of bytes, or the body is chunked (RFC 9112 section 6.3). */
  readonly length: number | 'chunked';
}

/**
 * Strict parser of the response to one GET or POST. It takes only bodies whose end can be told from a cut-off connection
 * (content-length or chunked), so that a truncated answer is never mistaken for a whole one.
 */
export class ResponseParser {
  #rest: Buffer = Buffer.alloc(0);
  #head: Head | undefined;
  readonly #chunks: Buffer[] = [];
  readonly #isOneOfMany: boolean;
  #trailers = false;

  /** `isOneOfMany`: bytes after the end of the response belong to the next one; they are in {@link rest}. */
  constructor({ isOneOfMany = false } = {}) {
    this.#isOneOfMany = isOneOfMany;
  }

  /** Bytes that came and are not part of what has been read so far. */
  get rest(): Buffer {
    return this.#rest;
  }

  /** True once a byte of the response has come. */
  get started(): boolean {
    return this.#head !== undefined || this.#rest.length > 0;
  }

  /** Where the response stands, for the text of a failure. */
  get progress(): string {
    if (this.#head === undefined) return this.#rest.length === 0 ? 'no byte came' : 'cut within the head';
    return `cut within the body (${this.#head.length}, ${this.#rest.length} bytes left over)`;
  }

  /** Takes bytes as they come; returns the response once it is complete. Throws {@link MalformedResponse}. */
  push(bytes: Buffer): Response | undefined {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    for (;;) {
      this.#head ??= this.#takeHead();
      if (this.#head === undefined) return undefined;
      // 1xx responses come before the real one (RFC 9110 section 15.2).
      if (this.#head.status >= 200) break;
      this.#head = undefined;
    }
    const body = this.#head.length === 'chunked' ? this.#takeChunked() : this.#takeFixed(this.#head.length);
    if (body === undefined) return undefined;
    if (this.#rest.length > 0 && !this.#isOneOfMany)
      throw new MalformedResponse(`${this.#rest.length} bytes after the end of the response`);
    const { status, headers } = this.#head;
    return { status, headers, body, closes: headers.get('connection')?.toLowerCase() === 'close' };
  }

  #takeHead(): Head | undefined {
    const end = this.#rest.indexOf(END_OF_HEAD);
    if (end < 0) {
      if (this.#rest.length > HEAD_BYTES) throw new MalformedResponse(`head of more than ${HEAD_BYTES} bytes`);
      return undefined;
    }
    const [first = '', ...lines] = this.#rest.toString('latin1', 0, end).split('\r\n');
    this.#rest = this.#rest.subarray(end + END_OF_HEAD.length);
    const status = Number(STATUS_LINE.exec(first)?.[1]);
    if (Number.isNaN(status)) throw new MalformedResponse(`status line ${JSON.stringify(first.slice(0, 80))}`);
    const headers = new Map<string, string>();
    for (const line of lines) {
      const [, name, value] = HEADER_LINE.exec(line) ?? [];
      if (name === undefined || value === undefined) throw new MalformedResponse(`header line ${JSON.stringify(line)}`);
      headers.set(name.toLowerCase(), value);
    }
    return { status, headers, length: lengthOf(status, headers) };
  }

  #takeFixed(length: number): Buffer | undefined {
    return this.#rest.length < length ? undefined : this.#take(length);
  }

  #takeChunked(): Buffer | undefined {
    for (;;) {
      const end = this.#rest.indexOf(CRLF);
      if (end < 0) return undefined;
      const line = this.#rest.toString('latin1', 0, end);
      if (this.#trailers) {
        this.#take(end + CRLF.length);
        if (line === '') return Buffer.concat(this.#chunks);
        continue;
      }
      if (!/^[0-9a-fA-F]{1,8}(;.*)?$/.test(line)) throw new MalformedResponse(`chunk size ${JSON.stringify(line)}`);
      const size = Number.parseInt(line, 16);
      if (size === 0) {
        this.#take(end + CRLF.length);
        this.#trailers = true;
        continue;
      }
      if (this.#rest.length < end + CRLF.length + size + CRLF.length) return undefined;
      this.#take(end + CRLF.length);
      this.#chunks.push(this.#take(size));
      if (!this.#take(CRLF.length).equals(CRLF)) throw new MalformedResponse('no line end after a chunk');
    }
  }

  #take(length: number): Buffer {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }
}

function lengthOf(status: number, headers: ReadonlyMap<string, string>): number | 'chunked' {
  if (status < 200 || status === 204 || status === 304) return 0;
  const encoding = headers.get('transfer-encoding');
  const length = headers.get('content-length');
  if (encoding !== undefined) {
    if (encoding.toLowerCase() !== 'chunked' || length !== undefined) {
      throw new MalformedResponse(`transfer-encoding ${encoding}, content-length ${length}`);
    }
    return 'chunked';
  }
  if (length === undefined || !/^\d{1,15}$/.test(length)) throw new MalformedResponse(`content-length ${length}`);
  return Number(length);
}
