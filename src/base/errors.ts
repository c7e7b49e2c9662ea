import type { FailureCode, SystemCode } from './error-catalog.js';

/** Facts of a failure for programs, beside its code; docs/reference/errors.md lists their names. */
export type Details = Readonly<Record<string, string | number | boolean | null>>;

export interface MotyaErrorOptions extends ErrorOptions {
  /** Added to those of the cause. */
  readonly details?: Details | undefined;
}

/** Base of every error that Motya raises on purpose. `code` is stable and may be matched by programs. */
export class MotyaError extends Error {
  /** Stable identifier (./error-catalog.ts), for example `ERR_MOTYA_NOTHING_TO_UPGRADE`; of a system call that failed its errno's name. */
  readonly code: FailureCode;
  /** For example the pid, the path or the listener that the message names. Empty: the code says all. */
  readonly details: Details;
  constructor(code: FailureCode, message: string, options: MotyaErrorOptions = {}) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.details = { ...detailsOf(options.cause), ...options.details };
  }
}

/** Settings that cannot be used: the message starts with `file:line:column:` where the file is known. */
export class SettingsError extends MotyaError {
  constructor(message: string, options?: MotyaErrorOptions) {
    super('ERR_MOTYA_SETTINGS', message, options);
  }
}

/** The instance could not start (or its program could not); nothing of it is left behind. */
export class StartError extends MotyaError {
  /** The end of what the program said on stderr, if it was a program that failed. */
  readonly stderr: readonly string[];
  constructor(code: FailureCode, message: string, options: MotyaErrorOptions & { stderr?: readonly string[] } = {}) {
    super(code, message, options);
    this.stderr = options.stderr ?? [];
  }
}

/** A hand-over that did not happen; the incumbent goes on serving. */
export class HandoverError extends MotyaError {
  /** Whatever was thrown, as a reason that a peer can be told. */
  static from(error: unknown): HandoverError {
    return error instanceof HandoverError ? error : new HandoverError(codeOf(error), reasonOf(error), { cause: error });
  }
}

/** A peer broke the protocol: its connection is closed and nothing else happens. */
export class ProtocolError extends MotyaError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_MOTYA_PROTOCOL', message, options);
  }
}

/** A failed system call, as the addon throws it: the shape of Node's own `ErrnoException`. */
export interface SystemError extends Error {
  /** Symbolic name, for example `EADDRINUSE`. */
  code: SystemCode;
  /** Negated errno, for example -98. */
  errno: number;
  /** For example `bind`. */
  syscall: string;
}

export function isSystemError(error: unknown): error is SystemError {
  return error instanceof Error && 'syscall' in error && 'errno' in error && 'code' in error;
}

/** What a failed program said last, wherever the error has been wrapped since. */
export function stderrOf(error: unknown): readonly string[] {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof StartError && cause.stderr.length > 0) return cause.stderr;
  }
  return [];
}

/** The code of anything thrown: its own, that of a failed system call, else `ERR_MOTYA_INTERNAL`. */
export function codeOf(error: unknown): FailureCode {
  return error instanceof MotyaError || isSystemError(error) ? error.code : 'ERR_MOTYA_INTERNAL';
}

/** The facts of anything thrown; of a system call that failed its errno's name as `reason`. */
export function detailsOf(error: unknown): Details {
  if (error instanceof MotyaError) return error.details;
  if (isSystemError(error)) return { reason: error.code, syscall: error.syscall };
  return error instanceof Error && error.cause !== undefined ? detailsOf(error.cause) : {};
}

/** The same as fields of a message or a log line: nothing where there are none. */
export function detailFields(error: unknown): { details?: Details } {
  const details = detailsOf(error);
  return Object.keys(details).length === 0 ? {} : { details };
}

/** A failure as fields of a log line: its code, and its details where there are any. */
export function failureFields(error: unknown): { code: FailureCode; details?: Details } {
  return { code: codeOf(error), ...detailFields(error) };
}

/** The one-line text of anything thrown. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Where a class reports what it survives; `fields` are those of the log line. */
export type Warn = (text: string, fields?: object) => void;
