import net from 'node:net';

type Done = (error?: Error | null) => void;
interface Chunk {
  readonly chunk: string | Buffer;
  readonly encoding: BufferEncoding;
}
/** What a net.Socket writes with (lib/net.js). */
interface Writing {
  _write(data: string | Buffer, encoding: BufferEncoding | 'buffer', done: Done): void;
  _writev(chunks: readonly Chunk[], done: Done): void;
}
const nodes = net.Socket.prototype as unknown as Writing;

/** How the head of every answer begins; no frame of a WebSocket does. */
const HEAD = Buffer.from('HTTP/1.');
const HEAD_END = '\r\n\r\n';

/**
 * The head of an answer that the client has had from the process before goes nowhere. What is written before and after it goes to the
 * client as ever.
 * @param isAlike whether a head says the same. If not, `differs` is called in its place, and nothing more is written.
 */
export function swallowHead(
  socket: net.Socket,
  isAlike: (head: string) => boolean,
  differs: (write: (data: Buffer) => void) => void,
): void {
  const writing = socket as unknown as Writing;
  const restore = (): void => {
    Reflect.deleteProperty(writing, '_write');
    Reflect.deleteProperty(writing, '_writev');
  };
  let before = Buffer.alloc(0);
  const write = (data: Buffer, done: Done): void => {
    const all = Buffer.concat([before, data]);
    if (!all.subarray(0, HEAD.length).equals(HEAD)) {
      nodes._write.call(socket, data, 'buffer', done);
      return;
    }
    const end = all.indexOf(HEAD_END);
    if (end < 0) {
      before = all;
      done();
      return;
    }
    if (isAlike(all.subarray(0, end).toString('latin1'))) {
      restore();
      const rest = all.subarray(end + HEAD_END.length);
      if (rest.length > 0) nodes._write.call(socket, rest, 'buffer', done);
      else done();
      return;
    }
    writing._write = (_data, _encoding, ignored) => ignored();
    writing._writev = (_chunks, ignored) => ignored();
    differs((data) => nodes._write.call(socket, data, 'buffer', () => {}));
    done();
  };
  writing._write = (data, encoding, done) => write(bytesOf(data, encoding as BufferEncoding), done);
  writing._writev = (chunks, done) =>
    write(Buffer.concat(chunks.map(({ chunk, encoding }) => bytesOf(chunk, encoding))), done);
}

const bytesOf = (data: string | Buffer, encoding: BufferEncoding): Buffer =>
  typeof data === 'string' ? Buffer.from(data, encoding) : data;

/** A request as it is replayed in another process. */
export interface SavedRequest {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
}

export function bytesOfRequest({ method, url, rawHeaders }: SavedRequest): Buffer {
  const lines = rawHeaders.flatMap((name, index) => (index % 2 === 0 ? `${name}: ${rawHeaders[index + 1]}\r\n` : []));
  return Buffer.from(`${method} ${url} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1');
}

/** By their names in lower case, as IncomingMessage has those that may come more than once. */
export function headersOf({ rawHeaders }: SavedRequest): Record<string, string> {
  const headers: Record<string, string> = {};
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? '';
    const before = headers[name];
    const value = rawHeaders[index + 1] ?? '';
    headers[name] = before === undefined ? value : `${before}${name === 'cookie' ? '; ' : ', '}${value}`;
  }
  return headers;
}
