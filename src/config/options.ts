import type { Options } from 'yargs';

/**
 * One setting that the command line and the environment can give too. Its flag and its variable are derived from its path, so
 * that the three cannot drift apart: `log.level` is `--log-level` and `MOTYA_LOG_LEVEL`.
 */
export interface SettingOption {
  /** Place in the settings file; `*` stands for every service; null: only for the command line and the environment. */
  readonly path: string | null;
  readonly flag: string;
  readonly variable: string;
  /** How the text of a flag or a variable is read; a `path` is resolved against the working directory. */
  readonly type: 'text' | 'boolean' | 'number' | 'path';
  /** One sentence, also in the JSON Schema. */
  readonly description: string;
}

/** Names and descriptions in the order of `motya start --help`. */
const table = [
  ['name', 'text', 'Name of the instance: its default pidfile and sockets are named after it'],
  ['services.*.workers', 'number', 'Worker processes of the service: a number, or auto for one per CPU'],
  [
    'services.*.ready',
    'text',
    'What makes a worker ready: its first listen(), or a signal (ready() or process.send("ready"))',
  ],
  ['pidfile', 'path', 'File that holds the process id of the instance that serves'],
  ['upgradeSocket', 'path', 'Unix socket over which a successor takes over'],
  ['daemonize', 'boolean', 'Run in the background; the command returns once the daemon serves'],
  ['drainTimeout', 'text', 'Time that open connections get to finish before they are closed by force'],
  ['upgradeWait', 'text', 'Time for which SIGQUIT looks for a successor that is not there yet'],
  ['readyTimeout', 'text', 'Time in which all services must become ready'],
  ['onQuit', 'text', 'On SIGQUIT when no successor waits: start one, or only wait for one'],
  ['umask', 'text', 'File mode creation mask, octal, such as 022'],
  ['log.level', 'text', 'Least important lines to log: error, warn, info or debug'],
  ['log.format', 'text', 'Form of the lines: json, pretty, or auto (pretty on a terminal)'],
  ['log.file', 'path', 'File to log to instead of stderr; SIGHUP opens it again'],
] as const;

const words = (path: string): string[] =>
  path
    .replace('services.*.', '')
    .replace(/([A-Z])/g, '.$1')
    .toLowerCase()
    .split('.');

const option = (
  name: string,
  type: SettingOption['type'],
  description: string,
  path: string | null,
): SettingOption => ({
  path,
  flag: words(name).join('-'),
  variable: `MOTYA_${words(name).join('_').toUpperCase()}`,
  type,
  description,
});

export const settingOptions: readonly SettingOption[] = table.map(([path, type, text]) =>
  option(path, type, text, path),
);

export const configOption = option('config', 'path', 'Settings file (default: motya.yaml, where there is one)', null);
export const upgradeOption = option(
  'upgrade',
  'boolean',
  'Take over from the running instance instead of starting beside it',
  null,
);

const allOptions: readonly SettingOption[] = [configOption, upgradeOption, ...settingOptions];

/** Variables that Motya's own processes set for each other: no settings, and no mistakes either. */
const internalVariables = new Set(['MOTYA_WORKER', 'MOTYA_READY_FD']);

/** `MOTYA_…` variables that mean nothing, sorted. */
export function unknownVariables(env: NodeJS.ProcessEnv): string[] {
  const known = new Set(allOptions.map(({ variable }) => variable));
  return Object.keys(env)
    .filter((name) => name.startsWith('MOTYA_') && !known.has(name) && !internalVariables.has(name))
    .sort();
}

/** @throws {TypeError} when the table does not have the path: the schema and the table have drifted apart. */
export function descriptionOf(path: string): string {
  const found = settingOptions.find((candidate) => candidate.path === path);
  if (found === undefined) throw new TypeError(`no option describes ${path}`);
  return found.description;
}

/**
 * Options for yargs: those of the flags given, or all. Values stay texts (yargs would make `022` the number 22); the schema
 * says what is allowed.
 */
export function yargsOptions(flags?: readonly string[]): Record<string, Options> {
  const chosen = flags === undefined ? allOptions : allOptions.filter(({ flag }) => flags.includes(flag));
  return Object.fromEntries(
    chosen.map(({ flag, type, description }) => [
      flag,
      {
        type: type === 'boolean' ? 'boolean' : 'string',
        description,
        requiresArg: type !== 'boolean',
      } satisfies Options,
    ]),
  );
}
