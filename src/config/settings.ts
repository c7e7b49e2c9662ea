import type { PerKind } from '../base/drain-kinds.js';
import type { Account } from '../base/os/account.js';
import type { ListenerSpec } from '../base/os/native.js';
import type { Sandbox } from './sandbox.js';

/** What the supervisor logs, and where. */
export interface LogSettings {
  readonly level: LogLevel;
  /** `auto`: pretty on a terminal, JSON elsewhere. */
  readonly format: 'auto' | 'json' | 'pretty';
  /** Absolute path, or null for stderr. */
  readonly file: string | null;
  /** `tagged`: the supervisor writes programs' lines, and says whose they are. `inherit`: they write themselves, as they are. */
  readonly programs: 'tagged' | 'inherit';
  /** What gets the supervisor's lines beside that. */
  readonly transports: readonly LogTransport[];
}

/** A transport of winston, loaded from a module when the instance starts. */
export interface LogTransport {
  /** As it was written: a path or the name of a package. */
  readonly module: string;
  /** Absolute path of the file that is loaded. */
  readonly path: string;
  /** Which of its exports, such as `transports.Http`; null: the default one. */
  readonly export: string | null;
  /** For its constructor. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Least important level; null: that of the log. */
  readonly level: LogLevel | null;
  /** Where it was written: `file:line:column: log.transports.0`. */
  readonly place: string;
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** A listener that the settings name: bound by us, or passed by systemd under its FileDescriptorName=. */
export type DeclaredListener =
  | ListenerSpec
  | { readonly family: 'systemd'; readonly name: string; readonly backlog?: number };

/** One service, ready to be run: defaults filled in, paths absolute, durations in ms. */
export interface ServiceSettings {
  readonly name: string;
  /** Absolute path as it was typed (symlinks unresolved); it existed when the settings were resolved. */
  readonly script: string;
  readonly args: readonly string[];
  /** Absolute. */
  readonly cwd: string;
  /** Added to the instance's own environment. */
  readonly env: Readonly<Record<string, string>>;
  /** At least 1. */
  readonly workers: number;
  /** Options of node itself, before the script. */
  readonly nodeArgs: readonly string[];
  /** What makes a worker ready: its first listeners, or a call of `ready()`. */
  readonly ready: 'listen' | 'signal';
  /** Whether open connections go to the other generation, as far as they can, or drain. */
  readonly connections: 'move' | 'drain';
  /** Declared listeners; those that the program asks for come on top. */
  readonly listeners: readonly DeclaredListener[];
  /** ms for kinds that its `drain` did not name. */
  readonly drainTimeout: number;
  /** ms from the start of the drain until what is left of each kind is closed by force. */
  readonly drain: PerKind<number>;
  /** Asks a worker to end, after the drain. */
  readonly killSignal: NodeJS.Signals;
  /** ms from that to SIGKILL. */
  readonly killGrace: number;
}

/** Where an instance answers status requests. */
export interface AdminSettings {
  readonly listener: ListenerSpec;
  /** Every client that reaches the listener may read: it is a file with a mode, or the settings say so. */
  readonly isPrivate: boolean;
}

/** What ends a probation with a rollback, beside the death of the supervisor. */
export interface HealthSettings {
  /** A path on the first TCP or unix listener of the programs, or a URL; it must answer 2xx. */
  readonly path: string | null;
  /** Crashes of workers. */
  readonly crashes: number;
  /** Share of HTTP answers with status 5xx, above 0 and at most 1. */
  readonly errors: number | null;
}

/** Everything that one instance is told before it starts. It does not change while the instance runs. */
export interface Settings {
  /** Names the instance in the runtime directory and in logs. */
  readonly name: string;
  /** At least one, in the order of the file. */
  readonly services: readonly ServiceSettings[];
  /** Absolute. */
  readonly pidfile: string;
  /** Absolute, at most 107 bytes: the successor binds it. */
  readonly upgradeSocket: string;
  /** Absolute, at most 107 bytes: the main process of the name owns it. */
  readonly controlSocket: string;
  /** Directory that a default path above lies in, to be made by `ensureRuntimeDirectory`; null when no default is used. */
  readonly runtimeDirectory: string | null;
  /** The user that the instance and its programs run as. Null: the user that starts it, which must not be root then. */
  readonly user: Account | null;
  readonly daemonize: boolean;
  /** Whether a keeper stays as the parent of the instances. `auto`: as PID 1, and in a systemd unit without notifications. */
  readonly keeper: boolean | 'auto';
  /** This instance is a successor: it waits on the upgrade socket before it serves. */
  readonly upgrade: boolean;
  /** An incumbent that answers nothing is replaced all the same. */
  readonly force: boolean;
  /** Listeners that this successor does not ask for end though clients still come to them. */
  readonly allowRemoved: boolean;
  /** Pid of another program whose listeners a first instance takes over; null: none. */
  readonly adopt: number | null;
  /** ms for kinds that `drain` did not name; services may have their own. */
  readonly drainTimeout: number;
  /** ms for each kind; services may have their own. */
  readonly drain: PerKind<number>;
  /** ms after a hand-over in which the incumbent keeps what it needs to serve again; 0: none. The successor's setting counts. */
  readonly probation: number;
  readonly health: HealthSettings;
  /** Signals that the programs get, too, when the instance gets them. */
  readonly passedSignals: readonly NodeJS.Signals[];
  /** ms for which an incumbent that got SIGQUIT looks for a successor. */
  readonly upgradeWait: number;
  /** ms for all services to become ready. */
  readonly readyTimeout: number;
  /** After SIGQUIT, when no successor waits: `start` one, or only `wait` for one. */
  readonly onQuit: 'start' | 'wait';
  /** null: as inherited. */
  readonly umask: number | null;
  readonly log: LogSettings;
  /** Null: nowhere. */
  readonly admin: AdminSettings | null;
  /** Absolute path of the settings file as it was typed, or null. */
  readonly source: string | null;
  /** Where this instance is one of a drill (`motya drill`): its listeners are stand-ins. Null for all others. */
  readonly sandbox: Sandbox | null;
  /** What looks like a mistake but is none: one line each, to be logged. */
  readonly warnings: readonly string[];
}
