import { basename, dirname } from 'node:path';
import { MotyaError, SettingsError } from '../base/errors.js';
import { typedInvocation } from '../base/os/invocation.js';
import { runtimeDirectory } from '../base/os/places.js';
import { visible } from '../base/units.js';
import type { Settings } from '../config/settings.js';
import { controlSocketBeside, NotRunningError } from '../control/client.js';
import { describeAll, type Here, isFrom, peerAt, type Running, runningSockets } from './instances.js';
import { TARGET_FLAGS, type TargetArguments } from './target-options.js';
import { table } from './terminal/table.js';

const ENDING = '.control.sock';

/**
 * The control socket of the instance that is meant: by flags, script or settings file as `motya start` would take them; with
 * none of these, the one that was started from this directory. An instance is looked for in all directories of this user, in
 * those of systemd units, and for root in those of all users.
 * @param options `changes`: false: with nothing typed and nothing from here, the only instance that runs will do
 * @throws {MotyaError} none runs; or which one is meant cannot be told (`ERR_MOTYA_AMBIGUOUS`), with a list of those that run
 */
export async function controlSocketFor(flags: TargetArguments, { changes = true } = {}): Promise<string> {
  const { cwd } = typedInvocation();
  if (flags.name !== undefined) {
    // Without the settings, which may be broken just now.
    const running = await runningAs(flags.name);
    if (running !== null) return running;
  }
  const named = flags.script !== undefined || TARGET_FLAGS.some((flag) => flags[flag] !== undefined);
  const { controlSocket: usual, source, runtimeDirectory: directory } = await settingsFor(flags, cwd);
  const controlSocket = controlSocketBeside(usual);
  // Without a word and a settings file, what could be started here (the welcome page) says nothing about what is meant.
  const isMeant = named || source !== null;
  if (isMeant && peerAt(controlSocket) !== null) return controlSocket;
  const elsewhere = isMeant && directory !== null ? await runningAs(basename(usual, ENDING)) : null;
  if (elsewhere !== null) return elsewhere;
  if (named) return controlSocket;

  const here = { cwd, shell: process.env.PWD };
  const running = await describeAll(runningSockets());
  const fromHere = preferOwn(running.filter((one) => isFrom(one, here)));
  const [only] = fromHere;
  if (only !== undefined && fromHere.length === 1) return taken(only);
  if (fromHere.length > 1) throw ambiguous(`several instances were started from ${cwd}`, fromHere);
  // A settings file in this directory says which one is meant, whether it runs or not.
  if (source !== null) return controlSocket;
  return onlyOne(running, here, changes);
}

/** Root has asked for none by name, but one from this directory runs as another user: that is said. */
function taken(only: Running): string {
  if (only.uid !== process.geteuid?.()) console.error(`motya: this is ${described(only)}`);
  return only.path;
}

/** None was started from here. */
function onlyOne(running: readonly Running[], { cwd }: Here, changes: boolean): string {
  const [only] = running;
  if (only === undefined) throw new NotRunningError(runtimeDirectory(process.env));
  if (changes || running.length > 1) throw ambiguous(`no instance was started from ${cwd}`, running);
  console.error(`motya: no instance was started from ${cwd}; this is ${described(only)}`);
  return only.path;
}

function described({ name, pid, uid, directory }: Running): string {
  const user = uid === process.geteuid?.() ? '' : ` of uid ${uid}`;
  return `${name} (pid ${pid}${user})${directory === null ? '' : `, started from ${visible(directory)}`}`;
}

/** Those of this user, if there are any. */
function preferOwn(running: readonly Running[]): readonly Running[] {
  const own = running.filter(({ uid }) => uid === process.geteuid?.());
  return own.length > 0 ? own : running;
}

/** @throws {SettingsError} which says how to do without the settings: they may be broken while what runs is not. */
async function settingsFor(flags: TargetArguments, cwd: string): Promise<Settings> {
  // Here and not at the top: a command that names a running instance needs no schema.
  const { loadSettings } = await import('../config/load.js');
  try {
    // The command's own flags are none of the settings.
    const own = Object.fromEntries((['script', ...TARGET_FLAGS] as const).map((flag) => [flag, flags[flag]]));
    return loadSettings({ flags: own, env: process.env, cwd });
  } catch (error) {
    if (!(error instanceof SettingsError) || flags.name !== undefined || flags.script !== undefined) throw error;
    throw new SettingsError(
      `${error.message}\n--name says which instance is meant, whatever is wrong with its settings`,
    );
  }
}

/** The running instance with that name: this user's, or another one. Null when none runs. @throws {MotyaError} several do */
async function runningAs(name: string): Promise<string | null> {
  const sockets = runningSockets(name);
  const own = runtimeDirectory(process.env);
  const [first] = sockets;
  if (first === undefined) return null;
  if (dirname(first) === own || sockets.length === 1) return first;
  const running = preferOwn(await describeAll(sockets));
  const [only] = running;
  if (only !== undefined && running.length === 1) return only.path;
  throw ambiguous(`several instances are named ${name}`, running);
}

/** With all that it takes to say which one is meant. */
function ambiguous(why: string, running: readonly Running[]): MotyaError {
  const names = running.map(({ name }) => name);
  const rows = running.map(({ path, name, pid, uid, directory }) => [
    // Two of one name differ in the directory of their sockets.
    names.filter((other) => other === name).length === 1
      ? `--name ${name}`
      : `--upgrade-socket ${visible(path.slice(0, -ENDING.length))}.sock`,
    String(pid),
    String(uid),
    directory === null ? '?' : visible(directory),
  ]);
  const columns = [
    { title: 'TO NAME IT' },
    { title: 'PID', align: 'right' as const },
    { title: 'UID', align: 'right' as const },
    { title: 'STARTED FROM' },
  ];
  const list = table(columns, rows).map((line) => `  ${line}`);
  const text = `${why}; say which one is meant (or type the command in the directory that it was started from):`;
  return new MotyaError('ERR_MOTYA_AMBIGUOUS', [text, ...list].join('\n'));
}
