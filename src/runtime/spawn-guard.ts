import childProcess from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isSystemError } from '../base/errors.js';
import { ownFileBy } from '../base/os/own-file.js';
import { PRELOAD, withBranchAt, withoutBranch } from './branch-option.js';

type Call = (this: unknown, ...args: unknown[]) => unknown;
type Env = Readonly<Record<string, string | undefined>>;

interface SpawnOptions {
  /** `NAME=value` strings. */
  envPairs?: string[];
  readonly uid?: number | null;
}

const NAME = 'NODE_OPTIONS';

/**
 * Node does not start when a file of `--require` is missing. The release with our preload may be removed while the program runs, and
 * `npm ci` removes it for a while: what the program starts then gets the preload of the same version at the path that was typed, or
 * runs as plain Node. So does a process of another user, which may be unable to read the file, and is no part of the worker: it was
 * spawned with a `uid`, or the program itself has changed its own (process.setuid()).
 * @param entry see {@link ownFileBy}
 */
export function guardSpawn(entry: string | undefined): void {
  const user = process.geteuid?.();
  const fix = (options: string, uid?: number | null): string | undefined => {
    if ((uid ?? process.geteuid?.()) !== user) return withoutBranch(options);
    if (isReadable(PRELOAD)) return options;
    const other = ownFileBy(entry, PRELOAD);
    return isReadable(other) ? withBranchAt(other, options) : withoutBranch(options);
  };
  // spawn(), exec(), execFile() and fork() all come here.
  const prototype = childProcess.ChildProcess.prototype as unknown as { spawn: Call };
  const { spawn } = prototype;
  prototype.spawn = function (this: unknown, options, ...rest) {
    if (typeof options === 'object' && options !== null) fixPairs(options as SpawnOptions, fix);
    return spawn.call(this, options, ...rest);
  };
  for (const name of ['spawnSync', 'execSync', 'execFileSync'] as const) {
    const original = childProcess[name] as Call;
    Object.assign(childProcess, {
      [name]: (...args: unknown[]) => original.apply(childProcess, withFixedEnv(args, fix)),
    });
  }
  syncBuiltinESMExports();
}

type Fix = (options: string, uid?: number | null) => string | undefined;

/** By the effective user, as access(2) would not tell. Another error (EMFILE) says nothing about the child. */
function isReadable(path: string): boolean {
  try {
    closeSync(openSync(path, 'r'));
    return true;
  } catch (error) {
    return !isSystemError(error) || !['ENOENT', 'ENOTDIR', 'EACCES', 'EPERM'].includes(error.code);
  }
}

function fixPairs(options: SpawnOptions, fix: Fix): void {
  const { envPairs, uid } = options;
  const at = Array.isArray(envPairs) ? envPairs.findIndex((pair) => pair.startsWith(`${NAME}=`)) : -1;
  if (envPairs === undefined || at < 0) return;
  const fixed = fix((envPairs[at] as string).slice(NAME.length + 1), uid);
  options.envPairs = fixed === undefined ? envPairs.toSpliced(at, 1) : envPairs.with(at, `${NAME}=${fixed}`);
}

/** The options come last: (file, args?, options?), (command, options?). */
function withFixedEnv(args: unknown[], fix: Fix): unknown[] {
  const last = args.at(-1);
  const hasOptions = args.length > 1 && typeof last === 'object' && last !== null && !Array.isArray(last);
  const { env, uid } = (hasOptions ? last : {}) as { env?: Env | null; uid?: number | null };
  const before = (env ?? process.env)[NAME];
  const fixed = before === undefined ? undefined : fix(before, uid);
  if (fixed === before) return args;
  const options = { ...(hasOptions ? last : {}), env: { ...(env ?? process.env), [NAME]: fixed } };
  // undefined or null may stand where the options do.
  const isLast = hasOptions || (args.length > 1 && (last === undefined || last === null));
  return isLast ? args.with(-1, options) : [...args, options];
}
