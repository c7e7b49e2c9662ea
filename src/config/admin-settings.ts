import { BlockList, isIPv6 } from 'node:net';
import type { z } from 'zod';
import type { ListenerSpec } from '../base/os/native.js';
import { parseListener } from './values.js';

/** What is particular to the admin listener: only streams, and other machines only when that is asked for. */

export const adminForm = "must be 'unix:/path', 'tcp://127.0.0.1:port' or off";

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** @returns null for `off`. */
export function parseAdminListener(value: string): ListenerSpec | null {
  if (/^(off|false|no)$/i.test(value)) return null;
  if (!/^(unix:[^@]|tcp:)/.test(value)) throw new RangeError(adminForm);
  const listener = parseListener(value) as ListenerSpec;
  // The successor would have another one.
  if (listener.family !== 'unix' && listener.port === 0) throw new RangeError('must have a port other than 0');
  return listener;
}

/** What is wrong with the parts taken together. */
export function checkAdmin(
  {
    listen,
    mode,
    public: isPublic,
  }: { listen?: ListenerSpec | null | undefined; mode?: string | undefined; public: boolean },
  context: z.RefinementCtx,
): void {
  const issue = (key: string, message: string): void => context.addIssue({ code: 'custom', path: [key], message });
  if (listen === null || listen === undefined || listen.family === 'unix') return;
  if (mode !== undefined) issue('mode', 'cannot be: only a unix: listener is a file');
  if (isPublic || isLoopback(listen.address)) return;
  issue('listen', 'must be a loopback address, unless admin.public says that other machines may read what it shows');
}

function isLoopback(address: string): boolean {
  return loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
