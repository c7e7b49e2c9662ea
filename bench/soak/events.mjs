import { sleep } from './sleep.mjs';

/** ms after its beginning in which something goes wrong with an upgrade: its probation of 3 s included. */
const UPGRADE_MS = 6000;
/** ms for which a process is stopped. */
const STOPPED_MS = 1500;

/**
 * What happens, and how often. `kills`: requests inside a killed process may fail. Each returns its outcome in a word or two, and
 * throws when one main process does not serve afterwards, or when an upgrade that nothing was done to fails.
 */
export const EVENTS = {
  upgrade: {
    weight: 6,
    run: async (service) => undisturbed(await service.motya('upgrade')),
  },
  'upgrade and rollback': {
    weight: 1,
    run: async (service) => {
      undisturbed(await service.motya('upgrade', '--detach'));
      const back = await service.motya('rollback');
      await service.settled();
      return back.code === 0 ? 'rolled back' : 'settled before the rollback';
    },
  },
  'upgrade to a broken program': {
    weight: 1,
    run: async (service) => {
      service.breakProgram(true);
      const { code } = await service.motya('upgrade');
      service.breakProgram(false);
      if (code === 0) throw new Error('a program that throws has taken over');
      await service.settled();
      return outcomeOf({ code });
    },
  },
  'upgrade, successor killed': { weight: 3, kills: true, run: (service, random) => amid(service, random, 'successor') },
  'upgrade, incumbent killed': { weight: 2, kills: true, run: (service, random) => amid(service, random, 'incumbent') },
  'worker killed': {
    weight: 2,
    kills: true,
    run: async (service, random) => {
      const { workers } = await service.settled();
      process.kill(workers[Math.floor(random() * workers.length)], 'SIGKILL');
      await service.settled();
      return 'started again';
    },
  },
  'supervisor killed': {
    weight: 2,
    kills: true,
    run: async (service) => {
      const { pid } = await service.settled();
      process.kill(pid, 'SIGKILL');
      await service.settled(pid);
      return 'started again';
    },
  },
  'generation killed': {
    weight: 1,
    kills: true,
    run: async (service) => {
      const { pid, workers } = await service.settled();
      for (const one of [pid, ...workers]) process.kill(one, 'SIGKILL');
      await service.settled(pid);
      return 'started again';
    },
  },
  'supervisor stopped for a while': {
    weight: 1,
    run: async (service) => {
      const { pid } = await service.settled();
      process.kill(pid, 'SIGSTOP');
      await sleep(STOPPED_MS);
      process.kill(pid, 'SIGCONT');
      await service.settled();
      return 'goes on';
    },
  },
  SIGHUP: {
    weight: 1,
    run: async (service) => {
      process.kill((await service.settled()).pid, 'SIGHUP');
      await service.settled();
      return 'goes on';
    },
  },
};

export function pick(random) {
  const entries = Object.entries(EVENTS);
  let left = random() * entries.reduce((sum, [, { weight }]) => sum + weight, 0);
  for (const [name, { weight }] of entries) {
    left -= weight;
    if (left < 0) return name;
  }
  return 'upgrade';
}

const outcomeOf = ({ code }) =>
  ({ 0: 'upgraded', 1: 'the incumbent ended', 3: 'rejected', 6: 'rolled back' })[code] ?? `exit status ${code}`;

/** Nothing was done to this upgrade, so there is no reason for it to fail. */
function undisturbed(result) {
  if (result.code === 0) return outcomeOf(result);
  throw new Error(`an upgrade that nothing was done to: ${outcomeOf(result)}: ${result.stderr.trim()}`);
}

async function amid(service, random, role) {
  const { pid } = await service.settled();
  const upgrading = service.motya('upgrade');
  await sleep(random() * UPGRADE_MS);
  const successors = service.supervisors().filter((one) => one !== pid);
  const victim = role === 'incumbent' ? pid : successors.at(-1);
  const isThere = victim !== undefined && service.supervisors().includes(victim);
  if (isThere) {
    const alsoWorkers = random() < 0.5 ? service.workersOf(victim) : [];
    for (const one of [victim, ...alsoWorkers]) service.kill(one);
  }
  const result = await upgrading;
  const outcome = isThere ? outcomeOf(result) : `${undisturbed(result)} before the kill`;
  await service.settled();
  return outcome;
}
