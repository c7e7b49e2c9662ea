import { realpathSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ACCEPT_MS, COMMIT_MS, LIVE_MS, READY_MARGIN_MS, SUCCESSOR_START_MS } from '../../base/deadlines.js';
import { longestOf } from '../../base/drain-kinds.js';
import { SettingsError } from '../../base/errors.js';
import { FORCE_MS } from '../../base/limits.js';
import type { Account } from '../../base/os/account.js';
import { findAccount } from '../../base/os/account.js';
import { typedInvocation } from '../../base/os/invocation.js';
import { defaultName } from '../../base/os/paths.js';
import { type Flags, loadSettings } from '../../config/load.js';
import { settingOptions } from '../../config/options.js';
import { absolutePath } from '../../config/resolve-path.js';
import type { Settings } from '../../config/settings.js';
import { type Guess, guessProgram, nameOf, remarksOf } from './guess.js';
import { keptOutAt, type Reader } from './readable.js';
import type { UnitFacts } from './unit-file.js';

/** ms for what the figures below do not have: a loaded machine. */
const MARGIN_MS = 5_000;

/**
 * Who runs it: the user of the settings, else one that systemd makes up, else the owner of the app where that could not read it.
 * @param given flags of `motya start`, with the script and its arguments
 * @throws {SettingsError} the settings are wrong, or only root could run the app.
 */
export function unitFacts(given: Flags): UnitFacts {
  const { cwd } = typedInvocation();
  const guess = given.script !== undefined || hasSettingsFile(given, cwd) ? null : guessProgram(cwd);
  const found = guess === null ? given : withProgram(given, guess);
  const first = loadSettings({ flags: found, env: {}, cwd });
  const flags = isNamed(first) ? found : { ...found, name: nameOf(cwd) };
  const name = isNamed(first) ? first.name : nameOf(cwd);
  // As the service will have it; nothing else of this shell's environment will be there.
  const settings = loadSettings({ flags, env: { RUNTIME_DIRECTORY: `/run/${name}` }, cwd });
  const directory = settings.source === null ? cwd : dirname(settings.source);
  const { node, motya } = installed(cwd);
  const run = [directory, node, motya, ...settings.services.map(({ script }) => script)];
  const places = run.flatMap((path) => [path, realpathSync(path)]);
  const inHome = places.find((path) => /^\/(home|root|run\/user)\//.test(`${path}/`));
  const inTmp = places.find((path) => /^\/(tmp|var\/tmp)\//.test(`${path}/`));
  const listeners = settings.services.flatMap((service) => service.listeners);
  const drains = settings.services.map(({ drain, killGrace }) => longestOf(drain) + killGrace);

  return {
    name,
    remarks: guess === null ? [] : remarksOf(guess),
    directory,
    node,
    motya,
    startArguments: startArguments(flags, settings, cwd),
    targetArguments: settings.upgradeSocket.startsWith(`/run/${name}/`)
      ? ['--name', name]
      : ['--upgrade-socket', settings.upgradeSocket],
    user: settings.user === null ? userFor(run, inHome ?? inTmp ?? null) : checkedUser(settings.user, run),
    group: flags.group === undefined ? null : String(flags.group),
    isInHome: inHome !== undefined,
    isInTmp: inTmp !== undefined,
    hasLowPort: listeners.some((listener) => 'port' in listener && listener.port > 0 && listener.port < 1024),
    listeners: listeners.length,
    writable: writtenDirectories(settings).filter((path) => path !== `/run/${name}`),
    stopSeconds: seconds(Math.max(...drains) + FORCE_MS + MARGIN_MS),
    startSeconds: seconds(
      SUCCESSOR_START_MS +
        settings.probation +
        settings.readyTimeout +
        READY_MARGIN_MS +
        COMMIT_MS +
        ACCEPT_MS +
        LIVE_MS +
        MARGIN_MS,
    ),
  };
}

const seconds = (ms: number): number => Math.ceil(ms / 1000);

function hasSettingsFile({ script, config }: Flags, cwd: string): boolean {
  return script === undefined && (config !== undefined || loadSettings({ flags: {}, env: {}, cwd }).source !== null);
}

/** With the program that was found. @throws {SettingsError} it needs what only a settings file can say */
function withProgram(flags: Flags, { program }: Guess): Flags {
  const { script, args, nodeArgs, env, cwd, workers } = program;
  const needs = [
    ...(nodeArgs.length === 0 ? [] : [`options of node (${nodeArgs.join(' ')})`]),
    ...(Object.keys(env).length === 0 ? [] : [`variables (${Object.keys(env).join(', ')})`]),
    ...(cwd === '' ? [] : [`a working directory (${cwd})`]),
    ...(workers === null ? [] : [`a number of workers (${workers})`]),
  ];
  if (needs.length === 0) return { ...flags, script, args: [...args, ...(flags.args ?? [])] };
  throw new SettingsError(
    `package.json gives ${needs.join(', ')}: motya init writes a motya.yaml with that; type it first, then motya init systemd`,
  );
}

/** Whether the name was given, not derived from a path. */
function isNamed({ name, source, services }: Settings): boolean {
  return name !== defaultName(source ?? services[0]?.script ?? '');
}

/** As they were typed, so that a symlink (`current`, /usr/bin/node) goes on leading to what is installed there. */
function installed(cwd: string): { node: string; motya: string } {
  const { file, args } = typedInvocation();
  const motya = resolve(cwd, args[process.execArgv.length] ?? '');
  if (motya.includes('/_npx/')) {
    throw new SettingsError(
      `motya runs from npx's cache (${motya}), which npm may empty: npm install motya, then again`,
    );
  }
  return { node: file, motya };
}

function startArguments(flags: Flags, settings: Settings, cwd: string): string[] {
  const what =
    settings.source === null
      ? [...(flags.script === undefined ? [] : [absolutePath(cwd, flags.script)])]
      : ['--config', settings.source];
  const given = settingOptions.flatMap(({ flag, type }) => {
    const value = flags[flag];
    // systemd has become the user already; but Motya runs a program as root only when told to.
    if (value === undefined || ((flag === 'user' || flag === 'group') && settings.user?.uid !== 0)) return [];
    if (typeof value === 'boolean') return [value ? `--${flag}` : `--no-${flag}`];
    return [`--${flag}`, type === 'path' ? absolutePath(cwd, String(value)) : String(value)];
  });
  // What follows -- is for a script; a settings file has its own.
  const args = settings.source === null ? (flags.args ?? []) : [];
  return [...what, ...given, ...(args.length === 0 ? [] : ['--', ...args])];
}

/**
 * Null where a user that systemd makes up can read all of it.
 * @param hidden what lies in a home or temporary directory, which such a user does not see
 */
function userFor(run: readonly string[], hidden: string | null): string | null {
  if (hidden === null && keptOut(run, null) === null) return null;
  const { uid } = statSync(run[0] ?? '/');
  const found = findAccount(String(uid), undefined);
  const owner = 'account' in found ? found.account : null;
  const closed = keptOut(run, owner ?? { uid, groups: [] });
  const how = 'move the app (to /srv, say), or name who may run it with --user';
  if (closed !== null) throw new SettingsError(`${closed} is closed to user ${owner?.name ?? uid}; ${how}`);
  if (uid === 0) {
    const what = hidden === null ? 'is closed to other users' : `${hidden} lies in a home or temporary directory`;
    throw new SettingsError(`${run[0]} belongs to root, ${what}, and a program should not run as root; ${how}`);
  }
  return owner?.name ?? String(uid);
}

function checkedUser(user: Account, run: readonly string[]): string {
  const closed = keptOut(run, user);
  if (closed !== null) throw new SettingsError(`user ${user.name} may not read ${closed}`);
  return user.name;
}

const keptOut = (run: readonly string[], reader: Reader): string | null =>
  run.map((path) => keptOutAt(path, reader)).find((path) => path !== null) ?? null;

/** Directories of files that Motya itself makes. */
function writtenDirectories(settings: Settings): string[] {
  const sockets = settings.services.flatMap(({ listeners }) =>
    listeners.flatMap((listener) =>
      listener.family === 'unix' && !listener.path.startsWith('\0') ? [listener.path] : [],
    ),
  );
  const admin = settings.admin?.listener;
  if (admin?.family === 'unix') sockets.push(admin.path);
  const files = [settings.pidfile, settings.upgradeSocket, settings.log.file, ...sockets];
  return [...new Set(files.flatMap((file) => (file === null ? [] : [dirname(file)])))];
}
