import type { Options } from 'yargs';
import { SET_ASIDE } from '../base/os/node-options.js';

/**
 * One setting that the command line and the environment can give too. Its flag and its variable are derived from its path, so
 * that the three cannot drift apart: `log.level` is `--log-level` and `MOTYA_LOG_LEVEL`.
 */
export interface SettingOption {
  /** Place in the settings file; `*` stands for every service; null: only for the command line and the environment. */
  readonly path: string | null;
  readonly flag: string;
  readonly variable: string;
  /** How the text of a flag or a variable is read; a `path`, and that of a `unix:` address, starts at the working directory. */
  readonly type: 'text' | 'boolean' | 'number' | 'path' | 'address';
  /** One sentence, also in the JSON Schema. */
  readonly description: string;
  /** As it would be written; undefined where the default depends on the rest. */
  readonly default: string | undefined;
  /** The former name of the setting, its flag and its variable, which are still accepted. */
  readonly former?: Former;
}

export interface Former {
  readonly path: string;
  readonly flag: string;
  readonly variable: string;
}

/** Names, descriptions and defaults in the order of `motya start --help`. */
const table: readonly (readonly [string, SettingOption['type'], string, string?])[] = [
  ['name', 'text', 'Name of the instance: its default pidfile and sockets are named after it'],
  ['services.*.workers', 'number', 'Worker processes of the service: a number, or auto for one per CPU', '1'],
  [
    'services.*.ready',
    'text',
    'What makes a worker ready: its first listen(), or a signal (ready() or process.send("ready"))',
    'listen',
  ],
  [
    'services.*.connections',
    'text',
    'Open connections at an upgrade: move those that can to the new version, or drain them all',
    'move',
  ],
  ['pidfile', 'path', 'File that holds the process id of the instance that serves'],
  ['upgradeSocket', 'path', 'Unix socket on which a successor waits for the hand-over'],
  ['user', 'text', 'User (name or uid) that root becomes, once it has bound the listeners that the settings name'],
  ['group', 'text', "Group (name or gid) that root becomes with user (default: the user's own)"],
  ['daemonize', 'boolean', 'Run in the background; the command returns once the daemon serves'],
  [
    'keeper',
    'boolean',
    'Start a keeper, the stable parent of the instances (auto: as PID 1, and in a systemd unit without notifications)',
    'auto',
  ],
  ['drainTimeout', 'text', 'Time for open connections to finish before they are closed by force', '30s'],
  ['upgradeWait', 'text', 'Time for which SIGQUIT looks for a successor that has not started yet', '5s'],
  ['readyTimeout', 'text', 'Time in which all services must become ready', '60s'],
  ['onQuit', 'text', 'On SIGQUIT when no successor waits: start one, or only wait for one', 'start'],
  [
    'probation',
    'text',
    'Time after an upgrade in which a failing new instance is rolled back (0: none, and the new one is not checked)',
    '10s',
  ],
  ['health.path', 'text', 'HTTP path (or URL) that a new instance must answer with 2xx on probation'],
  ['health.crashes', 'number', 'Number of worker crashes on probation that cause a rollback', '3'],
  ['health.errors', 'number', 'Share of answers with status 5xx on probation, such as 0.1, that causes a rollback'],
  ['umask', 'text', 'File mode creation mask, octal, such as 022'],
  [
    'admin.listen',
    'address',
    'Where to answer /healthz, /readyz, /metrics and a status page: unix:/path, tcp://127.0.0.1:port, or off',
    'a unix socket beside the upgrade socket',
  ],
  ['admin.public', 'boolean', 'Allow an admin listener that other machines can reach, by any name', 'no'],
  ['log.level', 'text', 'Least important lines to log: error, warn, info or debug', 'info'],
  ['log.format', 'text', 'Form of the lines: json, pretty, or auto (pretty on a terminal)', 'auto'],
  ['log.file', 'path', 'File to log to instead of stderr; SIGHUP opens it again'],
  [
    'log.programs',
    'text',
    "Programs' own lines: tagged with service, worker and generation, or inherit (as they are)",
    'tagged',
  ],
];

const words = (path: string): string[] =>
  path
    .replace('services.*.', '')
    // A listener has the name of what it belongs to.
    .replace(/\.listen$/, '')
    .replace(/([A-Z])/g, '.$1')
    .toLowerCase()
    .split('.');

const flagOf = (name: string): string => words(name).join('-');
const variableOf = (name: string): string => `MOTYA_${words(name).join('_').toUpperCase()}`;

/** Settings that had another name, by their present one. */
const formerNames: Readonly<Record<string, string>> = { keeper: 'supervise' };

function formerOf(name: string): { former?: Former } {
  const path = formerNames[name];
  return path === undefined ? {} : { former: { path, flag: flagOf(path), variable: variableOf(path) } };
}

const option = (
  name: string,
  type: SettingOption['type'],
  description: string,
  path: string | null,
  given?: string,
): SettingOption => ({
  path,
  default: given,
  flag: flagOf(name),
  variable: variableOf(name),
  type,
  description,
  ...formerOf(name),
});

export const settingOptions: readonly SettingOption[] = table.map(([path, type, text, given]) =>
  option(path, type, text, path, given),
);

export const configOption = option('config', 'path', 'Settings file (default: motya.yaml, where there is one)', null);
export const upgradeOption = option(
  'upgrade',
  'boolean',
  'Take over from the running instance instead of starting beside it',
  null,
);

export const forceOption = option(
  'force',
  'boolean',
  'With --upgrade: replace the running instance even if it does not answer',
  null,
);
export const allowRemovedOption = option(
  'allowRemoved',
  'boolean',
  'With --upgrade: let listeners that this version does not ask for end, even if clients still connect to them',
  null,
);
export const adoptOption = option(
  'adopt',
  'number',
  'Pid of another program, such as nginx, whose listeners to take over',
  null,
);

const allOptions: readonly SettingOption[] = [
  configOption,
  upgradeOption,
  forceOption,
  allowRemovedOption,
  adoptOption,
  ...settingOptions,
];

/** Variables that Motya's own processes set for each other and for programs: no settings, and no mistakes either. */
const ownVariables = new Set([
  SET_ASIDE,
  'MOTYA_WORKER',
  'MOTYA_READY_FD',
  'MOTYA_ATTENDED',
  'MOTYA_SERVICE',
  'MOTYA_WORKER_INDEX',
  'MOTYA_GENERATION',
  'MOTYA_KEEPER_PID',
  'MOTYA_SANDBOX',
]);

/** `MOTYA_…` variables that mean nothing, sorted. */
export function unknownVariables(env: NodeJS.ProcessEnv): string[] {
  const known = new Set(allOptions.flatMap(({ variable, former }) => [variable, former?.variable]));
  return Object.keys(env)
    .filter((name) => name.startsWith('MOTYA_') && !known.has(name) && !ownVariables.has(name))
    .sort();
}

/** The problem of a former name beside the present one with another value. */
export const saysOtherwise = (present: string): string =>
  `is the former name of ${present} and has another value; leave it out`;

/** @throws {TypeError} when the table does not have the path: the schema and the table have drifted apart. */
export function optionAt(path: string): SettingOption {
  const found = settingOptions.find((candidate) => candidate.path === path);
  if (found === undefined) throw new TypeError(`no option describes ${path}`);
  return found;
}

/** A flag (or a positional word) of a command: what yargs takes, and what only the manual and shells make use of. */
export interface Flag extends Options {
  readonly description: string;
  /** Environment variable that says the same. */
  readonly variable?: string;
  /** Place in the settings; their schema knows which values are allowed. */
  readonly setting?: string;
  /** What may be said, where the settings' schema does not know it. */
  readonly values?: readonly string[];
  /** Stands for its value in the manual, where the schema does not say what it is. */
  readonly placeholder?: string;
  /** It names a file or a directory. */
  readonly isPath?: boolean;
}

/**
 * Options for yargs: those of the flags given, or all. Values stay texts (yargs would make `022` the number 22); the schema
 * says what is allowed.
 */
export function yargsOptions(flags?: readonly string[]): Record<string, Flag> {
  const chosen = flags === undefined ? allOptions : allOptions.filter(({ flag }) => flags.includes(flag));
  return Object.fromEntries(
    chosen.flatMap(({ flag, type, description, variable, path, default: given, former }) => {
      const details = {
        type: type === 'boolean' ? 'boolean' : 'string',
        description,
        variable,
        requiresArg: type !== 'boolean',
        isPath: type === 'path',
        ...(path === null ? {} : { setting: path }),
        ...(given === undefined ? {} : { defaultDescription: given }),
      } satisfies Flag;
      return former === undefined
        ? [[flag, details]]
        : [
            [flag, details],
            [former.flag, { ...details, hidden: true }],
          ];
    }),
  );
}
