import { lstatSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Settings } from '../config/settings.js';
import { connectControl, NotRunningError, RestartingError } from '../control/client.js';
import { typedInvocation } from '../daemon/invocation.js';
import { runtimeFolder, temporaryFolder, userOfFolder } from '../daemon/paths.js';
import { MotyaError, SettingsError } from '../errors.js';
import { TARGET_FLAGS, type TargetArguments } from './target-options.js';

const ENDING = '.control.sock';
const KEEPER_ENDING = '.keeper.sock';

/**
 * The control socket of the instance that is meant: by flags, script or settings file as `motya start` would take them; with
 * none of these (and no motya.yaml here), the only one that runs. Systemd's runtime folders count too,
 * and for root those of users for whom it has started instances.
 * @throws {MotyaError} none runs, or several do.
 */
export async function controlSocketFor(flags: TargetArguments): Promise<string> {
  const { cwd } = typedInvocation();
  const folder = runtimeFolder(process.env);
  if (flags.name !== undefined) {
    // Without the settings, which may be broken just now.
    const running = runningAs(`${flags.name}${ENDING}`, folder);
    if (running !== null) return running;
  }
  const named = flags.script !== undefined || TARGET_FLAGS.some((flag) => flags[flag] !== undefined);
  const settings = await settingsFor(flags, cwd);
  if (isRunning(settings.controlSocket)) return settings.controlSocket;
  // A settings file in this folder says which one is meant, whether it runs or not: another's must not be stopped in its place.
  if (named || settings.source !== null) {
    const isDefault = dirname(settings.controlSocket) === folder;
    return (isDefault ? runningAs(basename(settings.controlSocket), folder) : null) ?? settings.controlSocket;
  }
  return theOnly([folder, ...otherFolders(folder)].flatMap(controlSocketsIn).filter(isRunning), folder);
}

/** @throws {SettingsError} which says how to do without the settings: they may be broken while what runs is not. */
async function settingsFor(flags: TargetArguments, cwd: string): Promise<Settings> {
  // Here and not at the top: who names a running instance needs no schema.
  const { loadSettings } = await import('../config/load.js');
  try {
    return loadSettings({ flags: { ...flags }, env: process.env, cwd });
  } catch (error) {
    if (!(error instanceof SettingsError) || flags.name !== undefined || flags.script !== undefined) throw error;
    throw new SettingsError(
      `${error.message}\n--name says which instance is meant, whatever is wrong with its settings`,
    );
  }
}

/** The running instance with that socket's name, in `folder` or, for root, in a user's. Null when none runs. */
function runningAs(socket: string, folder: string): string | null {
  const own = join(folder, socket);
  if (isRunning(own)) return own;
  const running = otherFolders(folder)
    .map((other) => join(other, socket))
    .filter(isRunning);
  return running.length === 0 ? null : theOnly(running, folder);
}

function theOnly(running: readonly string[], folder: string): string {
  const [only] = running;
  if (only === undefined) throw new NotRunningError(folder);
  if (running.length === 1) return only;
  const names = running.map((path) => {
    const name = basename(path, ENDING);
    return dirname(path) === folder ? name : `${name} (in ${dirname(path)})`;
  });
  const one = names.length > new Set(running.map((path) => basename(path))).size ? '--upgrade-socket' : '--name';
  throw new MotyaError('MOTYA_AMBIGUOUS', `several instances run: ${names.join(', ')}; say which one with ${one}`);
}

/** Runtime folders beside our `own`: of systemd units; for root, of users whom root has started instances for too. */
function otherFolders(own: string): string[] {
  return [...foldersOfUsers(own), ...foldersOfUnits()].filter((folder) => folder !== own);
}

/** One that is not its user's is none. */
function foldersOfUsers(own: string): string[] {
  if (process.geteuid?.() !== 0) return [];
  const parent = temporaryFolder(process.env);
  return foldersIn(parent)
    .filter(([folder, uid]) => folder !== own && uid === userOfFolder(folder))
    .map(([folder]) => folder);
}

/** What RuntimeDirectory= makes (systemd.exec(5)), as far as it is ours, or everybody's for root. */
function foldersOfUnits(): string[] {
  const user = process.geteuid?.();
  return foldersIn('/run')
    .filter(([, uid]) => user === 0 || uid === user)
    .map(([folder]) => folder);
}

/** Each with its owner. */
function foldersIn(parent: string): [folder: string, uid: number][] {
  return entriesOf(parent).flatMap((name): [string, number][] => {
    const folder = join(parent, name);
    const stat = lstatSync(folder, { throwIfNoEntry: false });
    return stat?.isDirectory() === true ? [[folder, stat.uid]] : [];
  });
}

function controlSocketsIn(folder: string): string[] {
  const names = entriesOf(folder)
    .filter((name) => !name.startsWith('.'))
    .map((name) => (name.endsWith(KEEPER_ENDING) ? `${name.slice(0, -KEEPER_ENDING.length)}${ENDING}` : name))
    .filter((name) => name.endsWith(ENDING));
  return [...new Set(names)].map((name) => join(folder, name));
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isRunning(path: string): boolean {
  try {
    connectControl(path).close();
    return true;
  } catch (error) {
    return error instanceof RestartingError;
  }
}
