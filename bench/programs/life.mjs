// One program of the list through its life under Motya: start, three upgrades under load, stop.
import { mkdirSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { freePort, until, Workspace } from '../../dist-test/e2e/harness/index.js';
import { startLoad } from '../../dist-test/e2e/load/index.js';
import { ask } from '../../dist-test/e2e/scene.js';
import { converse, startTalk } from './talk.mjs';

const UPGRADES = 3;
/** Of one upgrade, on a machine that has more to do. */
const ATTEMPTS = 3;
/** ms for a listener to answer a client. */
const ANSWER_MS = 10_000;
/** ms for a start or an upgrade: a framework loads for seconds on a busy machine. */
const COMMAND_MS = 120_000;
const FLAGS = ['--probation', '2s', '--ready-timeout', '30s', '--drain-timeout', '5s', '--log-format', 'json'];

/**
 * @returns what came of it: `outcome` is `served`, `refused` (it did not start), `rejected` (an upgrade was refused or taken
 *   back), or `failed`: a dead listener at exit status 0, a process left behind; `says` is the line that explains it.
 */
export async function live(program, workers, modules) {
  const space = new Workspace();
  const ports = { $PORT2: String(await freePort()), $PORT: String(await freePort()) };
  const fill = (text) =>
    Object.entries(ports).reduce((so, [name, port]) => so.replace(new RegExp(`\\${name}\\b`, 'g'), port), text);
  symlinkSync(modules, space.path('node_modules'));
  for (const [name, text] of Object.entries(program.files)) {
    mkdirSync(dirname(space.path(name)), { recursive: true });
    space.write(name, fill(text));
  }
  const args = (program.args ?? []).map(fill);
  const result = { answers: 0, failures: 0, stall: 0, upgrades: 0, outcome: 'served', says: '' };
  const env = { MOTYA_PROBATION: undefined };
  const portOf = (place) => Number(ports[`$${place.port}`]);
  const answers = async (place) => {
    if (place.path === undefined)
      return converse(portOf(place), place).then(
        () => true,
        () => false,
      );
    const options = {
      port: portOf(place),
      host: '127.0.0.1',
      path: place.path,
      signal: AbortSignal.timeout(ANSWER_MS),
    };
    return ask(options).then(
      ({ status }) => status === 200,
      () => false,
    );
  };
  const allAnswer = async (when) => {
    for (const place of program.places) {
      await until(() => answers(place), { what: `${place.port} to answer ${when}`, deadline: ANSWER_MS, every: 50 });
    }
  };
  const startClients = (place) =>
    place.path === undefined
      ? startTalk(portOf(place), place, 2)
      : startLoad({
          port: portOf(place),
          resource: place.path,
          anonymous: true,
          fresh: 2,
          keepAlive: 2,
          limitMs: ANSWER_MS,
        });
  let loads = [];
  try {
    const flags = ['--name', 'app', '--workers', String(workers), ...FLAGS];
    const child = space.motya(['start', program.script, ...flags, ...(args.length > 0 ? ['--', ...args] : [])], {
      env,
    });
    const serves = () => child.exit !== undefined || child.logs.some(({ event }) => event === 'serving');
    await until(serves, { what: 'the start', deadline: COMMAND_MS, instead: () => child.describe() });
    if (child.exit !== undefined) {
      const line = child.logs.find(({ event }) => event === 'failed');
      return { ...result, outcome: 'refused', says: line?.message ?? child.stderr.trim().split('\n').at(-1) };
    }
    await allAnswer('after the start');
    loads = program.places.map(startClients);
    for (let upgrade = 1; upgrade <= UPGRADES; upgrade++) {
      const { code, stdout, stderr } = await upgradeOnce(space, env);
      if (code !== 0) {
        result.outcome = code === 3 || code === 6 ? 'rejected' : 'failed';
        result.says = `exit ${code}: ${(stderr.trim() || stdout.trim()).split('\n').at(-1)}`;
        await allAnswer(`after exit status ${code}`);
        break;
      }
      result.upgrades += 1;
      await allAnswer(`after upgrade ${upgrade} (exit status 0)`);
    }
    const reports = await Promise.all(loads.map((load) => load.stop()));
    loads = [];
    for (const report of reports) {
      result.answers += report.answers;
      result.failures += report.failures;
      result.stall = Math.max(result.stall, report.longestStall);
      if (report.failures > 0)
        result.says ||= report.details
          .slice(0, 3)
          .map(({ kind, phase, text }) => `${kind} ${phase ?? ''} ${text}`)
          .join('; ');
    }
    const { code, stderr } = await space.run(['stop', '--name', 'app'], { env, deadline: COMMAND_MS });
    if (code !== 0) throw new Error(`stop: exit ${code}: ${stderr}`);
    await space.nothingLeft();
    return result;
  } catch (error) {
    return { ...result, outcome: 'failed', says: error.message.split('\n')[0] };
  } finally {
    await Promise.all(loads.map((load) => load.stop().catch(() => {})));
    await space.close().catch((error) => {
      result.outcome = 'failed';
      result.says = error.message.replaceAll('\n', ' ');
    });
  }
}

/** Exit status 5 is an instance that is too busy to answer: nothing was changed, so it is asked again. */
async function upgradeOnce(space, env) {
  for (let attempt = 1; ; attempt++) {
    const ended = await space.run(['upgrade', '--name', 'app'], { env, deadline: COMMAND_MS });
    if (ended.code !== 5 || attempt === ATTEMPTS) return ended;
  }
}

export const commandOf = ({ script, args = [] }) =>
  ['motya start', script, ...(args.length > 0 ? ['--', ...args] : [])].join(' ');
