import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { ListenRequest } from './listen-request.js';
import { nameOf } from './request-names.js';

const LOOPBACK = '127.0.0.1';

/**
 * What a program in a sandbox (`motya drill`) gets instead of the address that it asks for, which may be in use. A port becomes a free
 * port of the loopback address. A unix socket becomes a file in the sandbox's directory. The same request has the same placeholder in
 * each worker and each generation.
 */
export function placeholderFor(request: ListenRequest, directory: string): ListenRequest {
  const name = nameOf(request);
  if (request.kind === 'unix') return { ...request, path: join(directory, `${numberOf(name)}.sock`) };
  const ordinal = numberOf('ordinal' in request ? `${name} ${request.ordinal}` : name);
  if (request.kind === 'udp') {
    return { ...request, address: request.family === 'inet6' ? '::1' : LOOPBACK, port: 0, ordinal };
  }
  return { kind: 'tcp', address: LOOPBACK, port: 0, v6only: false, backlog: request.backlog, ordinal };
}

/** 48 bits: more than any program has listeners, and a whole number for JSON. */
const numberOf = (name: string): number => createHash('sha256').update(name).digest().readUIntBE(0, 6);
