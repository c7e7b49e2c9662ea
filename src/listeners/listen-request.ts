import { bool, int, nullable, oneOf, optional, record, text, union } from '../base/codec.js';

/** The server is a `tls.Server` (https, http2 with TLS). */
const tls = optional(bool);

/** What a program asks for when it calls `listen()` or `bind()`. `ordinal` counts the worker's earlier requests for port 0 of the same kind and address. */
export const listenRequest = union(
  record({ kind: oneOf('tcp'), address: nullable(text), port: int, v6only: bool, backlog: int, ordinal: int, tls }),
  record({ kind: oneOf('unix'), path: text, backlog: int, tls }),
  /** A socket that systemd has passed, by its FileDescriptorName=. */
  record({ kind: oneOf('systemd'), name: text, backlog: int, tls }),
  record({
    kind: oneOf('udp'),
    family: oneOf('inet', 'inet6'),
    address: text,
    port: int,
    v6only: bool,
    reuseAddr: bool,
    ordinal: int,
  }),
);
export type ListenRequest = NonNullable<(typeof listenRequest)['type']>;
