import type { constants } from 'node:os';

/**
 * Every code that Motya gives a failure: the classes that carry it, what it means, and what to do. docs/reference/errors.md is written
 * from this table. A code is stable: programs may match it. The message of an error is for people and may change.
 */
export const ERRORS = {
  ERR_MOTYA_ADDON: {
    classes: ['MotyaError'],
    meaning: 'The native addon cannot be loaded.',
    remedy: 'Run `npm rebuild motya`; it needs a C++ compiler where no prebuilt binary fits.',
  },
  ERR_MOTYA_ADOPT: {
    classes: ['StartError'],
    meaning: '`--adopt`: the listeners of the other program cannot be adopted as they are.',
    remedy: 'The message says which listener is in the way. Name the process that holds the listeners.',
  },
  ERR_MOTYA_AMBIGUOUS: {
    classes: ['MotyaError'],
    meaning: 'Several instances run, and the command does not say which one it means.',
    remedy: 'Give `--name` or `--config`; `motya status` lists the instances.',
  },
  ERR_MOTYA_BUSY: {
    classes: ['HandoverError'],
    meaning: 'The instance cannot begin this upgrade now: another one is under way, or it has handed over already.',
    remedy: 'Wait for the upgrade that is under way, then try again.',
  },
  ERR_MOTYA_CHANNEL_BROKEN: {
    classes: ['HandoverError'],
    meaning: 'The connection between two generations failed on this side, for example with EIO.',
    remedy: 'Read the cause in the message. Try again.',
  },
  ERR_MOTYA_CLIENTS_WAITING: {
    classes: ['HandoverError'],
    meaning: 'On probation the successor left clients waiting in the queue of a listener. It was rolled back.',
    remedy: 'Find out why the new version does not accept on the listener that the message names.',
  },
  ERR_MOTYA_CONNECTION_LOST: {
    classes: [],
    meaning: 'A command lost its connection to the instance before the answer came: the instance died or hung up.',
    remedy: 'Run `motya status` to see which generation serves; the log of the instance says why it ended.',
  },
  ERR_MOTYA_COPY_DENIED: {
    classes: ['MotyaError'],
    meaning: 'The listeners of another process cannot be copied (pidfd_getfd is refused).',
    remedy: 'Run the command as the user of that process or as root; the message names the kernel’s reason.',
  },
  ERR_MOTYA_CRASHES: {
    classes: ['HandoverError'],
    meaning: 'On probation workers of the successor crashed too often. It was rolled back.',
    remedy: 'Mend the new version. `health.crashes` sets how many crashes are allowed.',
  },
  ERR_MOTYA_DEADLINE: {
    classes: ['HandoverError'],
    meaning: 'The other generation did not send the next message of the protocol in time.',
    remedy: 'Look for a process that is stopped or a machine that is overloaded; try again.',
  },
  ERR_MOTYA_DRILL: {
    classes: ['MotyaError'],
    meaning: '`motya drill` cannot be carried out.',
    remedy: 'The message says what is missing, for example a listener to ask, or a path that answers.',
  },
  ERR_MOTYA_DRY_RUN: {
    classes: ['HandoverError'],
    meaning: 'A successor ends because the upgrade was a dry run. This is not a failure.',
    remedy: 'Nothing.',
  },
  ERR_MOTYA_ERROR_RATE: {
    classes: ['HandoverError'],
    meaning: 'On probation too large a share of answers had a status of 5xx. The successor was rolled back.',
    remedy: 'Mend the new version. `health.errors` sets the share.',
  },
  ERR_MOTYA_FILE_EXISTS: {
    classes: ['MotyaError'],
    meaning: '`motya init`: the file exists already.',
    remedy: 'Give `--force` to replace it, or another `--output`.',
  },
  ERR_MOTYA_FILE_MISSING: {
    classes: ['StartError'],
    meaning: 'A file that a process is started from is missing: Node, Motya or the working directory.',
    remedy: 'Put the file back, or restart the instance from a path that stays (a symlink to the current release).',
  },
  ERR_MOTYA_FORCE_FAILED: {
    classes: [],
    meaning: '`motya upgrade --force`: the instance that does not answer could not be replaced. It is as it was.',
    remedy: 'The message holds the reason of the successor.',
  },
  ERR_MOTYA_FOREIGN_INSTANCE: {
    classes: ['MotyaError'],
    meaning:
      '`motya upgrade --force` as root: the instance belongs to another user, whose command root does not repeat.',
    remedy: 'Start the successor as the first instance was started, with `--upgrade --force`.',
  },
  ERR_MOTYA_FOREIGN_PEER: {
    classes: ['MotyaError', 'HandoverError'],
    meaning: 'A socket of the instance is held by a process of another user. Nothing was sent to it.',
    remedy: 'Run the command as the user of the instance; look at the process that the message names.',
  },
  ERR_MOTYA_HEALTH_PATH: {
    classes: ['StartError'],
    meaning: '`health.path` is a path, but the instance has no listener that answers HTTP.',
    remedy: 'Give a whole URL, or declare a TCP or unix listener.',
  },
  ERR_MOTYA_INCUMBENT_DIED: {
    classes: ['HandoverError'],
    meaning: 'The incumbent died while its successor was waiting. The successor goes on alone.',
    remedy: 'The log of the incumbent, or of the kernel, says why it died.',
  },
  ERR_MOTYA_INCUMBENT_STOPPED: {
    classes: ['HandoverError'],
    meaning: 'The incumbent was stopped while its successor was waiting. The successor ends.',
    remedy: 'Start the new version without `--upgrade`.',
  },
  ERR_MOTYA_INSTANCE_DIED: {
    classes: ['HandoverError'],
    meaning: 'An instance that was started ended before it reported how its start went.',
    remedy: 'Its log, its stderr or the kernel’s log says why.',
  },
  ERR_MOTYA_INTERNAL: {
    classes: ['HandoverError'],
    meaning: 'A defect of Motya.',
    remedy: 'Please report it with the stack that stands in the log.',
  },
  ERR_MOTYA_INTERRUPTED: {
    classes: ['MotyaError'],
    meaning:
      'A command was interrupted by a signal. An upgrade goes on by itself; nothing is left of a drill, nor of a start that did not serve yet.',
    remedy: 'Run `motya status` to see what serves.',
  },
  ERR_MOTYA_LAUNCH: {
    classes: ['StartError'],
    meaning: 'A process could not be executed at all (execve failed).',
    remedy: 'Check that the file that the message names exists and is executable.',
  },
  ERR_MOTYA_LISTENER: {
    classes: ['MotyaError', 'StartError'],
    meaning: 'A declared listener cannot be had, or one that was handed on is no longer usable.',
    remedy: 'The message names the address and, where it is in use, the process that holds it.',
  },
  ERR_MOTYA_LISTENER_COUNT: {
    classes: ['HandoverError'],
    meaning: 'The two generations do not agree on how many listeners were handed over. The incumbent serves on.',
    remedy: 'Please report it: the protocol was broken.',
  },
  ERR_MOTYA_LOCK_NOT_HELD: {
    classes: ['HandoverError'],
    meaning: '`--force`: the process does not hold the lock of the pidfile that the settings name.',
    remedy: 'Give `--pidfile` as it was given to that instance.',
  },
  ERR_MOTYA_LOG_FILE: {
    classes: ['StartError'],
    meaning: 'The log file cannot be opened.',
    remedy: 'Make its directory, and let the user of the instance write there.',
  },
  ERR_MOTYA_LOG_TRANSPORT: {
    classes: ['StartError'],
    meaning: 'A transport of `log.transports` cannot be loaded; in a log line: it has lost lines.',
    remedy: 'The message has the place in the settings and the reason of the module.',
  },
  ERR_MOTYA_MANAGED: {
    classes: ['HandoverError'],
    meaning: 'A keeper or a service manager is responsible for the instance, and starts the next one itself.',
    remedy: 'Leave the restart to it: the message names the command.',
  },
  ERR_MOTYA_MANIFEST: {
    classes: ['HandoverError'],
    meaning: 'A listener that came is not the one that was announced. The incumbent serves on.',
    remedy: 'Please report it: the protocol was broken.',
  },
  ERR_MOTYA_NO_ANSWER: {
    classes: ['WedgedError', 'MotyaError'],
    meaning: 'The instance runs but does not answer a command: it is stopped or busy.',
    remedy: 'Continue it (`kill -CONT`), wait, or replace it with `motya upgrade --force`.',
  },
  ERR_MOTYA_NO_PROCESS: {
    classes: ['MotyaError'],
    meaning: 'There is no process with the given pid.',
    remedy: 'Look the pid up again.',
  },
  ERR_MOTYA_NO_SUCCESSOR: {
    classes: ['HandoverError'],
    meaning: 'No successor came in time. The instance serves on.',
    remedy: 'Start the new version with `--upgrade`; `upgradeWait` sets how long the instance looks for it.',
  },
  ERR_MOTYA_NOT_READY: {
    classes: ['StartError'],
    meaning: 'A service was not ready within `readyTimeout`.',
    remedy: 'The message says what was awaited: `listen()`, or `ready()` with `ready: signal`.',
  },
  ERR_MOTYA_NOT_RUNNING: {
    classes: ['NotRunningError'],
    meaning: 'No instance answers at the control socket.',
    remedy: 'Start one with `motya start`, or name the one that you mean with `--name` or `--config`.',
  },
  ERR_MOTYA_NOTHING_TO_UPGRADE: {
    classes: ['HandoverError'],
    meaning: '`start --upgrade`: no instance runs that could hand over.',
    remedy: 'Start without `--upgrade`, or name the instance with `--name` or `--config`.',
  },
  ERR_MOTYA_PASSED_ON: {
    classes: ['HandoverError'],
    meaning: 'Another process continues this conversation between generations. Used within Motya only.',
    remedy: 'Nothing.',
  },
  ERR_MOTYA_PEER_GONE: {
    classes: ['HandoverError'],
    meaning: 'The other generation hung up without a message: as a rule it died.',
    remedy: 'Its log, or the kernel’s, says why.',
  },
  ERR_MOTYA_PHASE: {
    classes: ['MotyaError'],
    meaning: 'A step was tried that cannot happen in this phase: a defect of Motya, or a library call too early.',
    remedy: 'With the library: call `start()` first. Otherwise please report it.',
  },
  ERR_MOTYA_PID_1_DAEMONIZE: {
    classes: ['StartError'],
    meaning: '`--daemonize` as pid 1 of a container, which would end with it.',
    remedy: 'Leave `--daemonize` out.',
  },
  ERR_MOTYA_PIDFILE: {
    classes: ['StartError'],
    meaning: 'The pidfile cannot be used.',
    remedy: 'Name another path with `--pidfile`, or let the user of the instance write there.',
  },
  ERR_MOTYA_PLATFORM: {
    classes: ['MotyaError'],
    meaning: 'Motya needs Linux, and Node 20.19, 22.12 or later.',
    remedy: 'Run it on Linux, or in a container, with another Node.',
  },
  ERR_MOTYA_PREFLIGHT: {
    classes: ['HandoverError'],
    meaning: 'The successor would not have the room to serve: open files, or space for the pidfile.',
    remedy: 'Raise the limit (`ulimit -n`, `LimitNOFILE=`) or free the disk; the message has the numbers.',
  },
  ERR_MOTYA_PRIVILEGES: {
    classes: ['StartError'],
    meaning: 'Root cannot become the user of the instance, or that user may not read what it needs.',
    remedy: 'Give the missing permission or capability that the message names.',
  },
  ERR_MOTYA_PROBATION_OVER: {
    classes: ['HandoverError'],
    meaning: '`motya rollback`: the instance is not on probation, so there is nothing to go back to.',
    remedy: 'Upgrade to the old version instead.',
  },
  ERR_MOTYA_PROGRAM: {
    classes: ['StartError'],
    meaning: 'The program ended before it was ready, or while it waited to serve.',
    remedy: 'Read what it wrote last: the message has its reason, the log its lines.',
  },
  ERR_MOTYA_PROTOCOL: {
    classes: ['ProtocolError', 'HandoverError'],
    meaning: 'A peer broke the protocol. Its connection was closed, and nothing else happened.',
    remedy: 'Please report it, unless the peer is no Motya.',
  },
  ERR_MOTYA_REMOVED_IN_USE: {
    classes: ['HandoverError'],
    meaning:
      'The successor does not listen on an address that clients use, that the settings name, or on which the old version was asked for its health. It was rolled back.',
    remedy:
      'Let the new version listen on it, or give `--allow-removed`. Remove one that is not used from `listeners`.',
  },
  ERR_MOTYA_REPLACED: {
    classes: ['HandoverError', 'MotyaError'],
    meaning:
      'Another instance has replaced this one by force, or the incumbent that was to hand over; `motya stop`: it had handed over already.',
    remedy: 'Give the command to the instance that serves; `motya status` names it.',
  },
  ERR_MOTYA_RESTARTING: {
    classes: [],
    meaning: 'The keeper is between two instances: it starts the next one.',
    remedy: 'Wait until it serves, then try again.',
  },
  ERR_MOTYA_ROLLBACK_REQUESTED: {
    classes: ['HandoverError'],
    meaning: '`motya rollback` ended the probation. The old version serves again.',
    remedy: 'Nothing.',
  },
  ERR_MOTYA_ROLLED_BACK: {
    classes: [],
    meaning: '`motya upgrade`: the new version served, failed its probation, and the old one serves again.',
    remedy: 'The message has the reason; mend the new version.',
  },
  ERR_MOTYA_RUNNING: {
    classes: ['StartError'],
    meaning: 'Another instance with this name or pidfile runs already.',
    remedy: 'Replace it with `motya upgrade`, or give this one a `--name` of its own.',
  },
  ERR_MOTYA_RUNTIME_DIRECTORY: {
    classes: ['StartError'],
    meaning: 'The directory for sockets and pidfiles cannot be made, or other users could write to it.',
    remedy: 'Mend its owner and mode (0700), or set `XDG_RUNTIME_DIR` or `RUNTIME_DIRECTORY`.',
  },
  ERR_MOTYA_SERVER_PAUSED: {
    classes: ['ParkedError'],
    meaning:
      'In a worker: the server that was given to `listen()` does not accept now, so its listener cannot be shared.',
    remedy: 'Listen on the address instead of on the other server.',
  },
  ERR_MOTYA_SETTINGS: {
    classes: ['SettingsError'],
    meaning: 'The settings or the command line are wrong. Nothing was done.',
    remedy: 'The message has the place (`file:line:column`, flag or variable) and what is allowed there.',
  },
  ERR_MOTYA_SIGNAL: {
    classes: ['MotyaError'],
    meaning: 'This signal cannot be sent to programs.',
    remedy: '`motya signal --help` lists those that can.',
  },
  ERR_MOTYA_SOCKET: {
    classes: ['MotyaError', 'HandoverError'],
    meaning: 'A unix socket of the instance (control, upgrade or keeper) cannot be made or reached.',
    remedy: 'The message names the path and the reason; `--upgrade-socket` names another path.',
  },
  ERR_MOTYA_STATE: {
    classes: ['HandoverError'],
    meaning: 'The program’s `onHandover()` failed, was too slow, or gave too much. The incumbent serves on.',
    remedy: 'Mend `onHandover()` in the program.',
  },
  ERR_MOTYA_STOPPING: {
    classes: ['HandoverError'],
    meaning: 'The instance was told to stop.',
    remedy: 'Nothing, if the stop was wanted.',
  },
  ERR_MOTYA_SUCCESSOR_EXISTS: {
    classes: ['HandoverError'],
    meaning: 'Another successor waits already. This one ends.',
    remedy: 'Upgrade with the one that waits, or end it first; the message has its pid.',
  },
  ERR_MOTYA_SUCCESSOR_LATE: {
    classes: ['HandoverError'],
    meaning: 'A successor came after the upgrade that it was meant for had happened without it. It ends.',
    remedy: 'Nothing: the new version serves.',
  },
  ERR_MOTYA_SUCCESSOR_SILENT: {
    classes: ['HandoverError'],
    meaning: 'The successor did not say how its probation went. The incumbent serves again.',
    remedy: 'Look for a successor that is stopped or a machine that is overloaded.',
  },
  ERR_MOTYA_SUCCESSOR_STALE: {
    classes: ['HandoverError'],
    meaning: 'The successor that waited has loaded older files than the program has by now. It ends.',
    remedy: 'Nothing: a fresh one is started, unless the settings say `onQuit: wait`.',
  },
  ERR_MOTYA_SUCCESSOR_STOPPED: {
    classes: [],
    meaning: '`motya upgrade`: the successor was told to stop. The old version serves on.',
    remedy: 'Start the upgrade again.',
  },
  ERR_MOTYA_UNHEALTHY: {
    classes: ['HandoverError'],
    meaning: 'On probation `health.path` did not answer as it should. The successor was rolled back.',
    remedy: 'Mend the new version; the message has the answer that came.',
  },
  ERR_MOTYA_VERSION: {
    classes: ['HandoverError'],
    meaning: 'The two sides speak no common version of the protocol.',
    remedy: 'Upgrade by way of a version that speaks both, or stop and start.',
  },
  ERR_MOTYA_WEDGED: {
    classes: ['WedgedError', 'HandoverError'],
    meaning: 'The incumbent does not answer in an upgrade or at the end of a probation.',
    remedy: 'Continue it (`kill -CONT`), or replace it with `--upgrade --force`.',
  },
  ERR_MOTYA_WORKERS_NOT_ACCEPTING: {
    classes: ['HandoverError'],
    meaning: 'The workers of the successor did not begin to accept in time. The incumbent serves on.',
    remedy: 'Look for a program that blocks its event loop after its start.',
  },
  ERR_MOTYA_WRITE_FAILED: {
    classes: ['MotyaError'],
    meaning: '`motya init`: the file cannot be written.',
    remedy: 'The message has the path and the reason; give another `--output`.',
  },
} as const satisfies Record<`ERR_MOTYA_${string}`, ErrorEntry>;

interface ErrorEntry {
  /** Those that are thrown with it; none: a command or a log line says it. */
  readonly classes: readonly string[];
  readonly meaning: string;
  readonly remedy: string;
}

/** Codes of a command or an upgrade that did what it was to do. */
export const RESULTS = {
  LIVE: 'The successor took over and serves.',
  ALONE: 'The successor serves; the incumbent died before it could hand over.',
  DRY_RUN: 'The dry run went well: the successor could take over.',
  ROLLED_BACK: '`motya rollback`: the old version serves again.',
  SIGNALLED: '`motya signal`: the signal was sent.',
} as const;

export type ErrorCode = keyof typeof ERRORS;
export type ResultCode = keyof typeof RESULTS;
/** Symbolic name of a failed system call's error, for example `EADDRINUSE` (errno(3)). */
export type SystemCode = keyof typeof constants.errno;
/** What the `code` of an error can be. */
export type FailureCode = ErrorCode | SystemCode;
/** What the `code` of a result can be. */
export type Code = FailureCode | ResultCode;
