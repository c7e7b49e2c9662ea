import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { UNIT_QUERY_MS } from '../limits.js';

/** Properties of our unit (org.freedesktop.systemd1(5)). */
export interface Unit {
  readonly name: string;
  readonly NotifyAccess: string;
  readonly FileDescriptorStoreMax: number;
  readonly NFileDescriptorStore: number;
}

/** The unit that this process runs in, as systemd knows it; null when it cannot be asked (no systemctl, no D-Bus). */
export async function ownUnit(): Promise<Unit | null> {
  try {
    const { name, isUser } = nameIn(readFileSync('/proc/self/cgroup', 'utf8'));
    const properties = ['NotifyAccess', 'FileDescriptorStoreMax', 'NFileDescriptorStore'];
    const args = ['show', ...properties.map((property) => `--property=${property}`), '--', name];
    const systemctl = promisify(execFile);
    const { stdout } = await systemctl('systemctl', isUser ? ['--user', ...args] : args, {
      timeout: UNIT_QUERY_MS,
      // It would tell the manager its own exit status (main-func.h), as a message of our unit's.
      env: { ...process.env, NOTIFY_SOCKET: undefined },
    });
    const shown = new Map(stdout.split('\n').map((line) => line.split('=', 2) as [string, string]));
    return {
      name,
      NotifyAccess: shown.get('NotifyAccess') ?? '',
      FileDescriptorStoreMax: Number(shown.get('FileDescriptorStoreMax')),
      NFileDescriptorStore: Number(shown.get('NFileDescriptorStore')),
    };
  } catch {
    return null;
  }
}

/** cgroups(7): the innermost service of the path; a user's are below its user@.service. */
function nameIn(cgroups: string): { name: string; isUser: boolean } {
  const services = cgroups.match(/[^/\n]+\.service/g) ?? [];
  const name = services.at(-1);
  if (name === undefined) throw new Error('this process is in no service');
  return { name, isUser: services.some((service) => service.startsWith('user@')) };
}

/** What in the unit will hurt, and what to write into it instead: a line each. `held`: listeners that it should store. */
export function defectsOf(unit: Unit, held: number): string[] {
  const defects: string[] = [];
  if (unit.NotifyAccess !== 'all') {
    defects.push(
      `${unit.name} has NotifyAccess=${unit.NotifyAccess}: systemd does not hear a successor itself, only what its incumbent says of it; set NotifyAccess=all`,
    );
  }
  if (unit.NFileDescriptorStore < held) {
    defects.push(
      `${unit.name} stores ${unit.NFileDescriptorStore} of ${held} listeners (FileDescriptorStoreMax=${unit.FileDescriptorStoreMax}): after a crash the clients of the others are refused until the next start; set FileDescriptorStoreMax=${Math.max(64, held)}`,
    );
  }
  return defects;
}
