import { SettingsError } from '../../base/errors.js';

/** What the recommended unit needs to know of one app and of the machine. */
export interface UnitFacts {
  /** Of the instance and its runtime directory. */
  readonly name: string;
  /** What was run for want of a name, and what the user is to know of it: a line each. */
  readonly remarks: readonly string[];
  /** Absolute paths, symlinks unresolved. */
  readonly directory: string;
  readonly node: string;
  readonly motya: string;
  /** After `motya start`. */
  readonly startArguments: readonly string[];
  /** By which `motya upgrade` finds the instance. */
  readonly targetArguments: readonly string[];
  /** Null: a user that systemd makes up (DynamicUser=). */
  readonly user: string | null;
  /** Null: the user's own. */
  readonly group: string | null;
  /** The app, node or motya lies in a home directory. */
  readonly isInHome: boolean;
  /** … or in /tmp or /var/tmp. */
  readonly isInTmp: boolean;
  /** A listener is declared on a port below 1024. */
  readonly hasLowPort: boolean;
  /** How many listeners are declared. */
  readonly listeners: number;
  /** Directories outside the runtime directory that the instance writes to. */
  readonly writable: readonly string[];
  /** s: the longest drain, and what its end takes. */
  readonly stopSeconds: number;
  /** s: the longest start or upgrade that may still succeed. */
  readonly startSeconds: number;
}

/** Number of listeners that the service manager may keep, with room for those that are not declared. */
const STORED_LISTENERS = 64;

/** The lines from [Unit] to the end, as systemd.unit(5) wants them; each choice with its reason above it. */
export function unitFile(facts: UnitFacts): string {
  const { name, directory, node, motya } = facts;
  const command = (...words: readonly string[]): string => [node, motya, ...words].map(commandWord).join(' ');
  const lines = [
    '[Unit]',
    `Description=${plain(name)} (hot-reloadable by Motya)`,
    'Wants=network-online.target',
    'After=network-online.target',
    '# A unit at its start limit is "failed", and the listeners that systemd keeps for it are closed: keep the limit wide.',
    'StartLimitIntervalSec=60',
    'StartLimitBurst=20',
    '',
    '[Service]',
    'Type=notify',
    '# all: after an upgrade the successor speaks before it is the main process.',
    'NotifyAccess=all',
    `WorkingDirectory=${plain(directory)}`,
    `ExecStart=${command('start', ...facts.startArguments)}`,
    '# Returns when the new version has passed its probation; fails with the reason, and the old one serves on, when it has not.',
    `ExecReload=${command('upgrade', ...facts.targetArguments)}`,
    '# A stop while a reload runs ends that command with SIGTERM, which is no failure of the unit.',
    'SuccessExitStatus=SIGTERM',
    "# Bounds the start and each reload, not the drain of the old process: longer than readyTimeout, so that Motya's own",
    '# reason comes first.',
    `TimeoutStartSec=${facts.startSeconds}`,
    '# The longest time of a drain, killGrace and a margin.',
    `TimeoutStopSec=${facts.stopSeconds}`,
    '# SIGTERM to the main process only. An old one that still drains may do so until the main one is gone, and a crash of the',
    '# main one does not wait for it (control-group would).',
    'KillMode=mixed',
    'Restart=always',
    'RestartSec=200ms',
    '# The listeners outlive a crash: clients wait in their queues for the restarted process.',
    `FileDescriptorStoreMax=${Math.max(STORED_LISTENERS, 2 * facts.listeners)}`,
    '# Motya answers while its workers do.',
    'WatchdogSec=30',
    '#Environment=NODE_ENV=production',
    '',
    ...userLines(facts),
    '# Pidfile and sockets. It is made and removed by systemd, and kept over reloads.',
    `RuntimeDirectory=${plain(name)}`,
    'RuntimeDirectoryMode=0700',
    '# The program may write in no other directory than those of ReadWritePaths= and StateDirectory= ($STATE_DIRECTORY).',
    ...(facts.writable.length === 0
      ? []
      : [`ReadWritePaths=${facts.writable.map((path) => pathWord(`-${path}`)).join(' ')}`]),
    ...(facts.hasLowPort
      ? ['# For the ports below 1024.', 'AmbientCapabilities=CAP_NET_BIND_SERVICE']
      : ['# For ports below 1024: CAP_NET_BIND_SERVICE here and in AmbientCapabilities=.']),
    `CapabilityBoundingSet=${facts.hasLowPort ? 'CAP_NET_BIND_SERVICE' : ''}`,
    'NoNewPrivileges=yes',
    'ProtectSystem=strict',
    ...(facts.isInHome
      ? ['# Not yes: what is run lies in a home directory.', 'ProtectHome=read-only']
      : ['ProtectHome=yes']),
    ...(facts.isInTmp ? ['# No PrivateTmp=: what is run lies in a temporary directory.'] : ['PrivateTmp=yes']),
    ...HARDENING,
    '',
    '[Install]',
    'WantedBy=multi-user.target',
  ];
  return `${lines.join('\n')}\n`;
}

function userLines({ user, group, isInHome, isInTmp }: UnitFacts): string[] {
  if (user === null) return ['# A user of its own, which exists while the service runs.', 'DynamicUser=yes'];
  const why = isInHome || isInTmp ? ['# Not DynamicUser=: a user made up by systemd could not read the app.'] : [];
  return [...why, `User=${user}`, ...(group === null ? [] : [`Group=${group}`])];
}

const HARDENING = [
  'PrivateDevices=yes',
  'ProtectKernelTunables=yes',
  'ProtectKernelModules=yes',
  'ProtectKernelLogs=yes',
  'ProtectControlGroups=yes',
  'ProtectClock=yes',
  'ProtectHostname=yes',
  'ProtectProc=invisible',
  'ProcSubset=pid',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  'SystemCallErrorNumber=EPERM',
  'UMask=0077',
  '# Not MemoryDenyWriteExecute= (V8 compiles at run time), not PrivatePIDs= (reloads would not find the main process).',
] as const;

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a unit file cannot hold.
const UNFIT = /[\x00-\x1f\x7f]/;
/** Taken off a value that is not quoted; a backslash at its end would join the next line. */
const UNFIT_BARE = /^\s|\s$|\\$/;

/** In a value that is not split into words. @throws {SettingsError} */
const plain = (text: string): string => escaped(text, UNFIT_BARE.test(text));

/** `%` begins a specifier. */
function escaped(text: string, isUnfit = false): string {
  if (!isUnfit && !UNFIT.test(text)) return text.replaceAll('%', '%%');
  throw new SettingsError(`${JSON.stringify(text)} cannot stand in a unit file: rename it`);
}

/** In a value that is split into words: quoted where it has to be. */
function pathWord(text: string): string {
  const word = escaped(text);
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `"${word.replace(/["\\]/g, '\\$&')}"`;
}

/** In a command line, where `$` begins a variable too. */
const commandWord = (text: string): string => (text === '' ? '""' : pathWord(text).replaceAll('$', '$$$$'));
