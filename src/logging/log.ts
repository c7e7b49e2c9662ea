import { Writable } from 'node:stream';
import { OUTPUT_FLUSH_MS } from '../base/deadlines.js';
import { failureFields, reasonOf } from '../base/errors.js';
import type { Account } from '../base/os/account.js';
import { createLogger as createWinston, format, transports } from '../base/vendor/winston.js';
import type { LogLevel, LogSettings } from '../config/settings.js';
import { Outputs } from './outputs.js';
import type { Form } from './tagger.js';
import { type LineInfo, type Transport, TransportOutput } from './transports.js';

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
  /** The same for the lines of programs, which a Supervisor passes on. */
  readonly outputs: Outputs;
  /** In every line once it is known; a successor learns it in the hand-over. */
  generation: number | undefined;
  /** Gives the lines from here on to one more transport of winston, too; programs' lines never go there. */
  add(transport: Transport): void;
  /** Opens the log file anew (it has been rotated away); on failure the lines go on to the old one. Nothing without a file. */
  reopen(): void;
  /**
   * At the end: resolves when all lines are written, programs' ones too, and ends the transports that were added. With false when a
   * reader does not read them in time.
   */
  flush(): Promise<boolean>;
  /** Closes the log file; later lines go to stderr. */
  close(): void;
}

const levels = { error: 0, warn: 1, info: 2, debug: 3 } as const satisfies Record<LogLevel, number>;

/**
 * @param options.transports of winston, that get each line beside stderr or the log file: see {@link InstanceLog.add}
 * @param options.user whom root is to become (the settings' `user`): the file is then opened as that user, who has to open it
 * again later
 * @throws {StartError} `ERR_MOTYA_LOG_FILE` when the log file cannot be opened.
 */
export function createLogger(
  settings: Omit<LogSettings, 'programs' | 'transports'>,
  options: { generation?: number; user?: Account | null; transports?: readonly Transport[] } = {},
): InstanceLog {
  const outputs = new Outputs(settings, options.user);
  let generation = options.generation;
  const style = styleOf(outputs.form('stderr'));
  // Each line at once, if it can be: then none is lost when the process exits.
  const sink = new Writable({
    decodeStrings: false,
    write(line: string, _encoding, done) {
      outputs.stderr.writeNow(Buffer.from(line));
      done();
    },
  });
  const winston = createWinston({
    level: settings.level,
    levels,
    format: format.printf(({ level, message, fields }) =>
      style({
        time: new Date().toISOString(),
        level: level as LogLevel,
        message: String(message),
        ...numbered(generation),
        fields: fields as LogFields,
      }),
    ),
    transports: [new transports.Stream({ stream: sink, eol: '\n' })],
  });
  const added: TransportOutput[] = [];
  const write = (level: LogLevel, message: string, fields: LogFields): void => {
    // winston formats first and asks about the level afterwards.
    if (levels[level] <= levels[settings.level]) winston.log({ level, message, fields });
  };
  const say = (level: LogLevel) => {
    return (message: string, fields: LogFields = {}) => {
      write(level, message, fields);
      if (added.length === 0) return;
      const line = { time: new Date().toISOString(), level, message, ...numbered(generation), fields };
      const info = JSON.parse(jsonLine(line)) as LineInfo;
      for (const output of added) output.say(info);
    };
  };
  const log: InstanceLog = {
    error: say('error'),
    warn: say('warn'),
    info: say('info'),
    debug: say('debug'),
    get fd() {
      return outputs.stderr.fd;
    },
    outputs,
    get generation() {
      return generation;
    },
    set generation(value) {
      generation = value;
    },
    reopen() {
      try {
        outputs.reopen();
      } catch (error) {
        log.warn('the log file cannot be opened again; the old one stays in use', { ...failureFields(error), error });
      }
    },
    add(transport) {
      const warn = (text: string, about: object): void => write('warn', text, about as LogFields);
      added.push(new TransportOutput(transport, { levels, level: settings.level }, warn));
    },
    async flush() {
      // What a transport says at its end is still written.
      const ends = await Promise.all(added.map((output) => output.end(OUTPUT_FLUSH_MS)));
      const isWritten = await outputs.flush(OUTPUT_FLUSH_MS);
      return isWritten && ends.every((isDone) => isDone);
    },
    close: () => outputs.close(),
  };
  for (const transport of options.transports ?? []) log.add(transport);
  return log;
}

const numbered = (generation: number | undefined) => (generation === undefined ? {} : { generation });

interface Line {
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
  readonly generation?: number;
  readonly fields: LogFields;
}

function styleOf({ pretty, coloured, journal }: Form): (line: Line) => string {
  const style = pretty ? (line: Line) => prettyLine(line, coloured) : jsonLine;
  return journal ? (line) => `<${priorities[line.level]}>${style(line)}` : style;
}

/** syslog's priorities (sd-daemon(3)): journald takes `<3>` off the line and files it as an error. */
const priorities: Record<LogLevel, number> = { error: 3, warn: 4, info: 6, debug: 7 };

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
  const own = { time, level, message, ...numbered(generation) };
  return jsonOf({ ...own, ...fields, ...own }) ?? JSON.stringify({ ...own, fields: UNPRINTABLE });
}

const colours: Record<LogLevel, number> = { error: 31, warn: 33, info: 32, debug: 90 };

/** Fields for machines: a person has seen the same lines above. */
const LONG: ReadonlySet<string> = new Set(['stderr']);

function prettyLine({ time, level, message, generation, fields }: Line, coloured: boolean): string {
  const label = level.toUpperCase().padEnd(5);
  const details = Object.entries({ ...numbered(generation), ...fields })
    .filter(([key, value]) => value !== undefined && !LONG.has(key))
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
