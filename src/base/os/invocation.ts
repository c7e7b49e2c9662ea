import { accessSync, constants, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, resolve } from 'node:path';

/** How a program was started. */
export interface Invocation {
  /** Absolute path of the executable, symlinks unresolved. */
  readonly file: string;
  /** As typed: relative paths among them are relative to `cwd`. */
  readonly args: readonly string[];
  /** Absolute, symlinks unresolved. */
  readonly cwd: string;
  /** Absolute path of the script that Node runs: Motya's own. Symlinks unresolved. Left out where it is not known. */
  readonly entry?: string;
}

/**
 * How this process was started, as it was typed: when it starts its own successor, a symlink that has been swapped since
 * (`/srv/app/current`, `/usr/local/bin/node`) leads to the new release or the new Node. `process.argv` and `process.cwd()`
 * are no use for that: Node resolves the script against the real working directory.
 */
export function typedInvocation(): Invocation {
  return atStart;
}

// At import: later the working directory may be another (a daemon's is often /), and a title set by process.title
// overwrites /proc/self/cmdline.
const atStart = readInvocation();

function readInvocation(): Invocation {
  const [name, ...args] = typedArguments();
  const cwd = typedCwd(args);
  const file = throughDirectory(cwd, typedExecutable(name, cwd));
  // Node's own options come before the script.
  const at = process.execArgv.length;
  const script = args[at];
  if (script === undefined || resolve(process.cwd(), script) !== process.argv[1]) return { file, args, cwd };
  // A relative path is relative to `cwd`, so it follows its symlinks already.
  const typed = isAbsolute(script) ? throughDirectory(cwd, script) : script;
  const entry = resolve(cwd, typed);
  // Not `node server` for server.js: a name without its ending is no file.
  return { file, args: args.with(at, typed), cwd, ...(isSameFile(entry, entry) ? { entry } : {}) };
}

/**
 * The path through the working directory as it was typed. npm resolves symlinks: `npx motya` in `/srv/app/current` runs
 * `/srv/app/releases/1/node_modules/.bin/motya`. That path ends with its release, and `current` leads to the next one.
 * @returns the path itself where the typed directory, or one above it, does not lead to the same file.
 */
function throughDirectory(cwd: string, path: string): string {
  for (let directory = cwd; directory !== '/'; directory = dirname(directory)) {
    const real = realpathSync(directory);
    if (real === directory) return path;
    if (!path.startsWith(`${real}/`)) continue;
    const typed = directory + path.slice(real.length);
    if (isSameFile(typed, path)) return typed;
  }
  return path;
}

/**
 * `$PWD` is the shell's name of the working directory, symlinks and all; but any program may have set it to anything. A service
 * manager may leave it out (systemd does, with `WorkingDirectory=/srv/app/current`): then a path of the command line that leads
 * through the directory names it.
 */
function typedCwd(args: readonly string[]): string {
  const real = process.cwd();
  const shell = process.env.PWD;
  if (shell !== undefined && isAbsolute(shell) && isSameFile(shell, real)) return shell;
  const paths = args.flatMap((arg) => /^(?:--[\w-]+=)?(\/.*)$/s.exec(arg)?.[1] ?? []);
  return paths.flatMap(directoriesAbove).find((directory) => isSameFile(directory, real)) ?? real;
}

function directoriesAbove(path: string): string[] {
  const directory = dirname(path);
  return directory === path ? [] : [directory, ...directoriesAbove(directory)];
}

function typedArguments(): [string, ...string[]] {
  const line = readFileSync('/proc/self/cmdline', 'utf8').split('\0');
  line.pop();
  const [name, ...args] = line;
  if (name === process.argv0) return [name, ...args];
  return [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
}

/** The shell's search, done again. What it finds must be this very Node now, since a process can be given any name. */
function typedExecutable(name: string, cwd: string): string {
  const candidates = name.includes('/')
    ? [name]
    : (process.env.PATH ?? '').split(':').map((directory) => `${directory === '' ? '.' : directory}/${name}`);
  const found = candidates
    .map((path) => (isAbsolute(path) ? path : `${cwd}/${path.replace(/^\.\//, '')}`))
    .find(isExecutable);
  return found !== undefined && isSameFile(found, process.execPath) ? found : process.execPath;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function isSameFile(one: string, other: string): boolean {
  try {
    const [a, b] = [statSync(one, { bigint: true }), statSync(other, { bigint: true })];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false;
  }
}
