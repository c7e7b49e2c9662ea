import { fstatSync, statSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { codeOf, reasonOf } from '../base/errors.js';
import type { Account } from '../base/os/account.js';
import { native } from '../base/os/native.js';
import type { LogSettings } from '../config/settings.js';
import { Destination } from './destination.js';
import { isJournal, openLog } from './log-file.js';
import type { Form, Stream } from './tagger.js';

const STDOUT = 1;
const STDERR = 2;

/** Where the lines of an instance go, its own and those of its programs, and in which form. */
export class Outputs {
  /** One and the same with a log file, and where stdout and stderr are the same: then lines keep their order. */
  readonly stdout: Destination;
  readonly stderr: Destination;
  readonly #file: string | null;
  readonly #user: Account | null;
  readonly #forms: Readonly<Record<Stream, Form>>;

  /**
   * @param user whom root is to become, and who then opens the log file
   * @throws {StartError} `ERR_MOTYA_LOG_FILE` when it cannot be opened.
   */
  constructor({ file, format }: Pick<LogSettings, 'file' | 'format'>, user: Account | null = null) {
    this.#file = file;
    this.#user = user;
    const pretty = format === 'pretty' || (format === 'auto' && file === null && isatty(STDERR));
    const formOf = (fd: number): Form => ({
      pretty,
      coloured: file === null && isatty(fd) && process.env.NO_COLOR === undefined,
      journal: file === null && isJournal(fd),
    });
    this.#forms = { stdout: formOf(STDOUT), stderr: formOf(STDERR) };
    const notice = (lost: number): string => lostLinesNotice(lost, this.#forms.stderr);
    this.stderr =
      file === null
        ? new Destination(STDERR, notice)
        : new Destination(openLog(file, user), notice, (error) => writeToStderr(fileErrorLine(file, error, format)));
    this.stdout = file !== null || isSame(STDOUT, STDERR) ? this.stderr : new Destination(STDOUT, notice);
  }

  form(stream: Stream): Form {
    return this.#forms[stream];
  }

  /** Opens the log file anew; nothing without one. @throws {StartError} `ERR_MOTYA_LOG_FILE`; the old one stays in use. */
  reopen(): void {
    if (this.#file !== null) this.stderr.redirect(openLog(this.#file, this.#user));
  }

  /** True: the log file's path leads to another file by now, or to none. */
  get hasMoved(): boolean {
    if (this.#file === null) return false;
    const [now, ours] = [statSync(this.#file, { throwIfNoEntry: false }), fstatSync(this.stderr.fd)];
    return now?.ino !== ours.ino || now.dev !== ours.dev;
  }

  /** Resolves with true when every line is written, with false after `ms`. */
  async flush(ms: number): Promise<boolean> {
    const both = await Promise.all([this.stdout.flush(ms), this.stderr.flush(ms)]);
    return both.every((done) => done);
  }

  /** Closes the log file; later lines go to stderr. */
  close(): void {
    if (this.#file !== null && this.stderr.fd !== STDERR) this.stderr.redirect(STDERR);
  }
}

function isSame(one: number, other: number): boolean {
  const [a, b] = [fstatSync(one), fstatSync(other)];
  return a.dev === b.dev && a.ino === b.ino;
}

/** Reports a log file that cannot be written. Drops the line when the reader of stderr is slow or gone, and never blocks. */
function writeToStderr(line: string): void {
  if (!native.fd.isWritable(STDERR)) return;
  try {
    writeSync(STDERR, line);
  } catch {
    // A daemon's stderr is the log file itself.
  }
}

function fileErrorLine(file: string, error: Error, format: LogSettings['format']): string {
  const time = new Date().toISOString();
  const message = `the log file ${file} cannot be written: ${reasonOf(error)}; its lines are lost until it can`;
  const isPretty = format === 'pretty' || (format === 'auto' && isatty(STDERR));
  const priority = isJournal(STDERR) ? '<3>' : '';
  if (isPretty) return `${priority}${time} ERROR ${message} event=log-file\n`;
  return `${priority}${JSON.stringify({ time, level: 'error', message, event: 'log-file', code: codeOf(error), path: file })}\n`;
}

function lostLinesNotice(lost: number, { pretty, journal }: Form): string {
  const time = new Date().toISOString();
  const priority = journal ? '<4>' : '';
  if (pretty) return `${priority}${time} WARN  log lines were lost lost=${lost}\n`;
  return `${priority}${JSON.stringify({ time, level: 'warn', message: 'log lines were lost', lost })}\n`;
}
