import { randomBytes } from 'node:crypto';

/**
 * ms for which TLS ticket keys are handed from generation to generation: with them an attacker can read what was resumed with
 * them, so upgrades must not make them live for ever; a day is what sessions are kept for at most.
 */
export const TICKET_KEYS_MS = 24 * 60 * 60 * 1000;

/** With which the workers of a listener encrypt the TLS sessions that their clients keep (RFC 5077 §4, RFC 8446 §4.6.1). Secret. */
export interface TicketKeys {
  /** Base64 of the 48 bytes that `tls.Server#setTicketKeys` takes. */
  readonly keys: string;
  /** When they were made: ms since the epoch. */
  readonly since: number;
}

const KEYS_BYTES = 48;

/** The same, or new ones when there are none or they have been used for long enough. */
export function currentTicketKeys(keys?: TicketKeys): TicketKeys {
  // Also when the clock was set back: their age is unknown then.
  const age = keys === undefined ? Number.POSITIVE_INFINITY : Math.abs(Date.now() - keys.since);
  if (keys !== undefined && age < TICKET_KEYS_MS) return keys;
  return { keys: randomBytes(KEYS_BYTES).toString('base64'), since: Date.now() };
}
