import { closeSync, constants, fchownSync, fstatSync, openSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';
import { isatty } from 'node:tty';
import { createLogger as createWinston, format, transports } from 'winston';
import type { Account, LogLevel, LogSettings } from '../config/settings.js';
import { entrust } from '../daemon/entrust.js';
import { isToDrop } from '../daemon/privileges.js';
import { isSystemError, reasonOf, StartError } from '../errors.js';
import { LOG_STALL_MS } from '../limits.js';

/** Lifecycle lines: what the supervisor has to say, never anything that happens per request. */
export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
}
/** Durations are in ms and say so in their name (`drainMs`). Errors become their text. */
export type LogFields = Readonly<Record<string, unknown>>;

/** The log of one instance. */
export interface InstanceLog extends Logger {
  /** Where the lines go now: stderr, or the log file. It changes with {@link reopen}. */
  readonly fd: number;
  /** In every line once it is known; a successor learns it in the hand-over. */
  generation: number | undefined;
  /** Opens the log file anew (it has been rotated away); on failure the lines go on to the old one. Nothing without a file. */
  reopen(): void;
  /** Closes the log file; later lines go to stderr. */
  close(): void;
}

const STDERR = 2;
const LOG_MODE = 0o640;
const levels = { error: 0, warn: 1, info: 2, debug: 3 } as const satisfies Record<LogLevel, number>;

/**
 * @param options.user whom root is to become (the settings' `user`): the file is then opened as that user, who has to open it
 * again later
 * @throws {StartError} `MOTYA_LOG_FILE` when the log file cannot be opened.
 */
export function createLogger(
  settings: LogSettings,
  options: { generation?: number; user?: Account | null } = {},
): InstanceLog {
  const open = (file: string): number => openLog(file, options.user ?? null);
  const sink = new Sink(settings.file === null ? STDERR : open(settings.file));
  let generation = options.generation;
  const style = styleOf(settings);
  const winston = createWinston({
    level: settings.level,
    levels,
    format: format.printf(({ level, message, fields }) =>
      style({
        time: new Date().toISOString(),
        level: level as LogLevel,
        message: String(message),
        ...(generation === undefined ? {} : { generation }),
        fields: fields as LogFields,
      }),
    ),
    transports: [new transports.Stream({ stream: sink, eol: '\n' })],
  });
  const say = (level: LogLevel) => {
    return (message: string, fields: LogFields = {}) => {
      // winston formats first and asks about the level afterwards.
      if (levels[level] <= levels[settings.level]) winston.log({ level, message, fields });
    };
  };
  const log: InstanceLog = {
    error: say('error'),
    warn: say('warn'),
    info: say('info'),
    debug: say('debug'),
    get fd() {
      return sink.fd;
    },
    get generation() {
      return generation;
    },
    set generation(value) {
      generation = value;
    },
    reopen() {
      if (settings.file === null) return;
      try {
        sink.redirect(open(settings.file));
      } catch (error) {
        log.warn('the log file cannot be opened again; the old one stays in use', { error });
      }
    },
    close: () => sink.redirect(STDERR),
  };
  return log;
}

/** @throws {StartError} `MOTYA_LOG_FILE` */
export function openLog(path: string, user: Account | null = null): number {
  try {
    return entrust(
      user,
      path,
      () => openSync(path, 'a', LOG_MODE),
      ({ uid, gid }) => createLog(path, uid, gid),
    );
  } catch (error) {
    const by = isToDrop(user) ? ` by user ${user.name}` : '';
    throw new StartError('MOTYA_LOG_FILE', `the log file ${path} cannot be opened${by}: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** Only a new one is given away: one that is there and closed to the user may be somebody else's. */
function createLog(path: string, uid: number, gid: number): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    const fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, LOG_MODE);
    fchownSync(fd, uid, gid);
    return fd;
  } catch (error) {
    const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    throw exists ? new Error('it belongs to somebody else; give it to the user with chown') : error;
  }
}

/**
 * Writes each line at once, so that none is lost when the process exits. A line that cannot be written is dropped and
 * counted: a full disk or a reader that has gone must not stop a server.
 */
class Sink extends Writable {
  #fd: number;
  #lost = 0;
  /** The last line that was lost is there in part. */
  #torn = false;

  constructor(fd: number) {
    super({ decodeStrings: false });
    this.#fd = fd;
  }

  get fd(): number {
    return this.#fd;
  }

  redirect(fd: number): void {
    const old = this.#fd;
    this.#fd = fd;
    if (old !== STDERR) closeSync(old);
  }

  override _write(line: string | Buffer, _encoding: BufferEncoding, done: () => void): void {
    const data = Buffer.from(`${this.#notice()}${line}`);
    // A reader that has stalled once is not waited for again until it reads.
    const written = writeWithin(this.#lost === 0 ? LOG_STALL_MS : 0, this.#fd, data);
    if (written === data.length) {
      this.#lost = 0;
      this.#torn = false;
    } else {
      this.#lost += 1;
      this.#torn ||= written > 0;
    }
    done();
  }

  /** What goes before the first line after lost ones. */
  #notice(): string {
    if (this.#lost === 0) return '';
    const notice = { time: new Date().toISOString(), level: 'warn', message: 'log lines were lost', lost: this.#lost };
    return `${this.#torn ? '\n' : ''}${JSON.stringify(notice)}\n`;
  }
}

/** Bytes written: fewer than there are when the kernel refuses, or when it says EAGAIN for longer than `patience` ms. */
function writeWithin(patience: number, fd: number, data: Buffer): number {
  const start = performance.now();
  let written = 0;
  while (written < data.length) {
    try {
      written += writeSync(fd, data, written);
    } catch (error) {
      // Whoever shares the pipe has made it non-blocking, and its reader is slow: give it a moment, but not our loop.
      const code = isSystemError(error) ? error.code : '';
      if (code === 'EAGAIN' && performance.now() - start < patience) Atomics.wait(idle, 0, 0, 1);
      else if (code !== 'EINTR') break;
    }
  }
  return written;
}

const idle = new Int32Array(new SharedArrayBuffer(4));

interface Line {
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
  readonly generation?: number;
  readonly fields: LogFields;
}

function styleOf({ format: wanted, file }: LogSettings): (line: Line) => string {
  const terminal = file === null && isatty(STDERR);
  const pretty = wanted === 'pretty' || (wanted === 'auto' && terminal);
  const coloured = terminal && process.env.NO_COLOR === undefined;
  const style = pretty ? (line: Line) => prettyLine(line, coloured) : jsonLine;
  return file === null && isJournal() ? (line) => `<${priorities[line.level]}>${style(line)}` : style;
}

/** syslog's priorities (sd-daemon(3)): journald takes `<3>` off the line and files it as an error. */
const priorities: Record<LogLevel, number> = { error: 3, warn: 4, info: 6, debug: 7 };

/** systemd.exec(5): `$JOURNAL_STREAM` holds device and inode of the journal's socket, if stderr still is that. */
function isJournal(): boolean {
  const stream = process.env.JOURNAL_STREAM;
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(STDERR);
  return stream === `${dev}:${ino}`;
}

const plain = (_key: string, value: unknown): unknown => {
  if (value instanceof Error) return reasonOf(value);
  return typeof value === 'bigint' ? String(value) : value;
};

const UNPRINTABLE = '(unprintable)';

/** Undefined for what has no JSON, such as an object that holds itself: no line is worth an exception. */
function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value, plain);
  } catch {
    return undefined;
  }
}

/** The line's own keys win over fields of the same name. */
function jsonLine({ time, level, message, generation, fields }: Line): string {
  const own = { time, level, message, ...(generation === undefined ? {} : { generation }) };
  return jsonOf({ ...own, ...fields, ...own }) ?? JSON.stringify({ ...own, fields: UNPRINTABLE });
}

const colours: Record<LogLevel, number> = { error: 31, warn: 33, info: 32, debug: 90 };

function prettyLine({ time, level, message, generation, fields }: Line, coloured: boolean): string {
  const label = level.toUpperCase().padEnd(5);
  const details = Object.entries({ ...(generation === undefined ? {} : { generation }), ...fields })
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${prettyValue(value)}`);
  return [time, coloured ? `\x1b[${colours[level]}m${label}\x1b[0m` : label, oneLine(message), ...details].join(' ');
}

/** Bare if it is one plain word, else as JSON: nothing that a field holds can begin a new line or command the terminal. */
function prettyValue(value: unknown): string {
  const json = jsonOf(value) ?? UNPRINTABLE;
  return /^"[\w./:@%+,~-]+"$/.test(json) ? json.slice(1, -1) : escapeControls(json);
}

const oneLine = (text: string): string => escapeControls(JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"'));
const escapeControls = (text: string): string =>
  text.replace(/[\x7f-\x9f]/g, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`);
