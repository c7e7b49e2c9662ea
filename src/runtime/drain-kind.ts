import type { ServerHttp2Stream } from 'node:http2';
import { allKinds, type DrainKind, type PerKind } from '../base/drain-kinds.js';
import type { Connection, Connections } from './connections.js';
import { sentHead } from './event-stream.js';
import { openStreams } from './node-internals.js';

/** What a connection is now, for a drain. It changes: a request becomes a stream when the head of its response goes out. */
export function drainKindOf(connection: Connection): DrainKind {
  switch (connection.protocol) {
    case 'upgraded':
      return 'webSockets';
    case 'other':
      return 'tcp';
    case 'http2':
      return connection.session !== null && openStreams(connection.session).some(isStream) ? 'streams' : 'http';
    case 'http1':
      return isUnbounded(sentHead(connection)) ? 'streams' : 'http';
    case 'idle':
      return 'http';
  }
}

export function countKinds(connections: Connections): PerKind<number> {
  const counts: { -readonly [K in DrainKind]: number } = { ...allKinds(0) };
  for (const connection of connections) counts[drainKindOf(connection)]++;
  return counts;
}

/** An event stream, the tokens of a language model, a gRPC stream: no response of a known length. */
const isUnbounded = (head: string): boolean => head !== '' && !/^content-length:/im.test(head);

const isStream = ({ headersSent, sentHeaders, writableFinished }: ServerHttp2Stream): boolean =>
  headersSent && !writableFinished && sentHeaders?.['content-length'] === undefined;
