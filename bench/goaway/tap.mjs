// A proxy on loopback that reads the HTTP/2 frames which pass: 9 bytes of head, then the payload (RFC 9113, section 4.1).
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const PREFACE_BYTES = 24;
const HEADERS = 1;
const GOAWAY = 7;

/** Passes on what comes to a port of its own; `frames` has the HEADERS of clients and the GOAWAYs of servers, as they came. */
export async function startTap(port) {
  const frames = [];
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) socket.setNoDelay(true).on('error', () => {});
    client.on(
      'data',
      reader(
        PREFACE_BYTES,
        (frame) => frame.type === HEADERS && frames.push({ connection: client.remotePort, ...frame }),
      ),
    );
    upstream.on(
      'data',
      reader(0, (frame) => frame.type === GOAWAY && frames.push({ connection: client.remotePort, ...frame })),
    );
    client.pipe(upstream).pipe(client);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: server.address().port, frames, close: () => server.close() };
}

function reader(skip, tell) {
  let bytes = Buffer.alloc(0);
  let left = skip;
  return (chunk) => {
    bytes = Buffer.concat([bytes, chunk]);
    const preface = Math.min(left, bytes.length);
    bytes = bytes.subarray(preface);
    left -= preface;
    while (bytes.length >= 9) {
      const end = 9 + bytes.readUIntBE(0, 3);
      if (bytes.length < end) return;
      const [type, stream] = [bytes[3], bytes.readUInt32BE(5) & 0x7fffffff];
      tell(type === GOAWAY ? { type, lastStream: bytes.readUInt32BE(9) & 0x7fffffff } : { type, stream });
      bytes = bytes.subarray(end);
    }
  };
}
