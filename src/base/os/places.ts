import { accessSync, constants, lstatSync, readdirSync, type Stats } from 'node:fs';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { native } from './native.js';
import { OwnedFds } from './owned-fds.js';

/**
 * Directories for pidfiles and sockets. The first of a user's directories depends on the user alone, not on the session: an
 * instance that was started over SSH must be found from cron, `su -` and `sudo -iu`. Hence neither `$XDG_RUNTIME_DIR`, which is
 * removed at logout, nor `$TMPDIR`, nor a home directory, which several machines may share (NFS), which may be closed at logout
 * (an encrypted one), and whose path may be too long for a socket.
 */

/** The uid whose directories are meant; null: of this process. */
type Owner = { readonly uid: number } | null;

const uidOf = (user: Owner): number => user?.uid ?? process.geteuid?.() ?? 0;

/**
 * Where an instance of the user puts its pidfile and sockets when the settings do not say: `$RUNTIME_DIRECTORY` (systemd's
 * RuntimeDirectory=, its first entry); else /run/motya for root, `/tmp/motya-<uid>` for others; else the first of the other
 * directories of {@link placesOf} that can be used. It need not exist: see `ensureRuntimeDirectory`.
 */
export function runtimeDirectory(env: NodeJS.ProcessEnv, user: Owner = null): string {
  const given = givenDirectory(env);
  if (given !== null) return given;
  const uid = uidOf(user);
  const places = placesOf(env, uid);
  return places.find((place) => isUsable(place, uid)) ?? (places[0] as string);
}

/**
 * As {@link runtimeDirectory}, but the directory in which the instance of that name runs already, if it does in one of the user's:
 * it stays where it is, for every user and from every session.
 */
export function directoryOf(name: string, env: NodeJS.ProcessEnv, user: Owner = null): string {
  const chosen = runtimeDirectory(env, user);
  if (givenDirectory(env) !== null) return chosen;
  const uid = uidOf(user);
  const sockets = [`${name}.control.sock`, `${name}.keeper.sock`];
  const runs = (place: string): boolean =>
    isOwn(place, uid) && sockets.some((socket) => answers(join(place, socket), uid));
  return [chosen, ...placesOf(env, uid)].find(runs) ?? chosen;
}

/**
 * Directories of the user `uid`, the best one first. The last ones are those of a session: what older versions have used, and
 * better than none.
 */
export function placesOf(env: NodeJS.ProcessEnv, uid: number): string[] {
  const isOurs = uid === (process.geteuid?.() ?? 0);
  const session = env.XDG_RUNTIME_DIR;
  return [
    ...new Set([
      ...(uid === 0 ? ['/run/motya'] : []),
      `/tmp/motya-${uid}`,
      join(temporaryDirectory(env), `motya-${uid}`),
      // Of the user who types this, not of the user that root is to become.
      ...(isOurs && session !== undefined && isAbsolute(session) ? [join(session, 'motya')] : []),
      `/run/user/${uid}/motya`,
    ]),
  ];
}

/**
 * Where instances may be found, the likeliest first: `$RUNTIME_DIRECTORY`, the directories of this user, those of systemd units
 * that belong to this user; for root, those of all users and units.
 */
export function allPlaces(env: NodeJS.ProcessEnv): string[] {
  const uid = uidOf(null);
  const others = uid === 0 ? [...ofOtherUsers('/tmp'), ...ofOtherUsers(temporaryDirectory(env)), ...ofSessions()] : [];
  return [...new Set([runtimeDirectory(env), ...placesOf(env, uid), ...others, ...ofUnits(uid)])];
}

/** The uid in the name of a default directory (`motya-33`), or null for any other. */
export function userOfDirectory(path: string): number | null {
  const uid = /^motya-(\d+)$/.exec(basename(path))?.[1];
  return uid === undefined ? null : Number(uid);
}

/** `$TMPDIR`, else /tmp. */
export function temporaryDirectory(env: NodeJS.ProcessEnv): string {
  const given = env.TMPDIR;
  return given !== undefined && isAbsolute(given) ? given : '/tmp';
}

/** Relative values count for nothing: systemd never sets any. */
function givenDirectory(env: NodeJS.ProcessEnv): string | null {
  const given = env.RUNTIME_DIRECTORY?.split(':')[0];
  return given !== undefined && isAbsolute(given) ? given : null;
}

/** One that is not its user's is none. */
function ofOtherUsers(parent: string): string[] {
  return directoriesIn(parent)
    .filter(([directory, uid]) => uid === userOfDirectory(directory))
    .map(([directory]) => directory);
}

function ofSessions(): string[] {
  return directoriesIn('/run/user')
    .filter(([directory, uid]) => String(uid) === basename(directory))
    .map(([directory]) => join(directory, 'motya'))
    .filter((directory) => statOf(directory)?.isDirectory() === true);
}

/** What RuntimeDirectory= makes (systemd.exec(5)), as far as it is ours; for root those of all users. */
function ofUnits(user: number): string[] {
  return directoriesIn('/run')
    .filter(([, uid]) => user === 0 || uid === user)
    .map(([directory]) => directory);
}

/** Each with its owner. */
function directoriesIn(parent: string): [directory: string, uid: number][] {
  return entriesOf(parent).flatMap((name): [string, number][] => {
    const directory = join(parent, name);
    const stat = statOf(directory);
    return stat?.isDirectory() === true ? [[directory, stat.uid]] : [];
  });
}

/** None of a directory that is not there, or that may not be read. */
export function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Undefined: nothing is there, or it may not be seen. */
function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

/** Whether the user has it, or could make it; what exactly is wrong with one that will not do, `ensureRuntimeDirectory` says. */
function isUsable(place: string, uid: number): boolean {
  const there = statOf(place);
  if (there !== undefined) return there.isDirectory() && there.uid === uid && isWritable(place, uid);
  return isWritable(dirname(place), uid);
}

function isWritable(directory: string, uid: number): boolean {
  const stat = statOf(directory);
  if (stat?.isDirectory() !== true) return false;
  const isAllowed = uid === 0 || (stat.uid === uid && (stat.mode & 0o200) !== 0) || (stat.mode & 0o002) !== 0;
  try {
    // For the real uid, which may still be root's: it tells of a read-only file system.
    accessSync(directory, constants.W_OK);
    return isAllowed;
  } catch {
    return false;
  }
}

/** It belongs to root or to the user: another user cannot make one like that. */
function isOwn(place: string, uid: number): boolean {
  const stat = statOf(place);
  return stat?.isDirectory() === true && (stat.uid === uid || stat.uid === 0) && (stat.mode & 0o022) === 0;
}

function answers(socket: string, uid: number): boolean {
  if (statOf(socket)?.isSocket() !== true) return false;
  try {
    using owned = new OwnedFds();
    const peer = native.channel.peerCredentials(owned.own(native.channel.connect(socket)));
    return peer.uid === 0 || peer.uid === uid;
  } catch {
    return false;
  }
}
