import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

/** ms for systemctl to tell about our unit: D-Bus needs some 10. */
const UNIT_QUERY_MS = 2_000;

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
    const properties = ['NotifyAccess', 'FileDescriptorStoreMax', 'NFileDescriptorStore'];
    const { name, shown } = await show(properties);
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

/**
 * Whether systemd stops our unit and forgets what it has stored for it: it stops it on behalf of `systemctl stop` or of another unit,
 * not to start it again. False when it cannot be asked.
 */
export async function isStoppedForGood(): Promise<boolean> {
  try {
    const { name, shown } = await show(['FileDescriptorStorePreserve']);
    if (shown.get('FileDescriptorStorePreserve') === 'yes') return false;
    // `123 shop.service stop running`; of a restart the type is `restart` until the stop is done (job_finish_and_invalidate).
    const jobs = await systemctl(['list-jobs', '--plain', '--no-legend', '--', name]);
    return jobs.split('\n').some((line) => line.trim().split(/\s+/)[2] === 'stop');
  } catch {
    return false;
  }
}

async function show(properties: readonly string[]): Promise<{ name: string; shown: Map<string, string> }> {
  const { name } = ownName();
  const stdout = await systemctl(['show', ...properties.map((property) => `--property=${property}`), '--', name]);
  return { name, shown: new Map(stdout.split('\n').map((line) => line.split('=', 2) as [string, string])) };
}

async function systemctl(args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)('systemctl', ownName().isUser ? ['--user', ...args] : [...args], {
    timeout: UNIT_QUERY_MS,
    // It would tell the manager its own exit status (main-func.h), as a message of our unit's.
    env: { ...process.env, NOTIFY_SOCKET: undefined },
  });
  return stdout;
}

const ownName = (): { name: string; isUser: boolean } => nameIn(readFileSync('/proc/self/cgroup', 'utf8'));

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
    // One that has room and holds fewer has not taken them, or has dropped them.
    const mend =
      unit.FileDescriptorStoreMax < held
        ? `set FileDescriptorStoreMax=${Math.max(64, held)}`
        : `systemctl restart ${unit.name} stores them anew`;
    defects.push(
      `${unit.name} stores ${unit.NFileDescriptorStore} of ${held} listeners (FileDescriptorStoreMax=${unit.FileDescriptorStoreMax}): after a crash the clients of the others are refused until the next start; ${mend}`,
    );
  }
  return defects;
}
