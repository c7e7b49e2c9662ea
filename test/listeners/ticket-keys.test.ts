import assert from 'node:assert/strict';
import { test } from 'node:test';
import { currentTicketKeys, TICKET_KEYS_MS } from '#src/listeners/ticket-keys.js';

test('ticket keys: 48 bytes, the same for a day, whoever hands them on; then new ones', () => {
  const first = currentTicketKeys();
  assert.equal(Buffer.from(first.keys, 'base64').length, 48);
  assert.notEqual(currentTicketKeys().keys, first.keys);
  assert.deepEqual(currentTicketKeys(first), first);
  for (const since of [Date.now() - TICKET_KEYS_MS - 1, Date.now() + 2 * TICKET_KEYS_MS]) {
    const renewed = currentTicketKeys({ ...first, since });
    assert.notEqual(renewed.keys, first.keys);
    assert.ok(Math.abs(renewed.since - Date.now()) < TICKET_KEYS_MS);
  }
});
