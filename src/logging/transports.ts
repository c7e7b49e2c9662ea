import { pathToFileURL } from 'node:url';
import { reasonOf, StartError } from '../base/errors.js';
import { within } from '../base/timeout.js';
import { createLogger as createWinston } from '../base/vendor/winston.js';
import type { LogLevel, LogTransport } from '../config/settings.js';

/** ms at the end for a transport that has never said `logged`: it may not say it at all. One that asks a server says it within this. */
const UNSAID_MS = 500;
/** Lines that wait for one transport, at most: a thousand are minutes of an instance's life. */
const QUEUED_LINES = 1_000;

/**
 * A transport of winston 3, as `winston-transport` and all that extend it are: a stream of objects with `log(info, next)`. `info` has
 * `level`, `message`, `time`, `generation` and the fields of the line; `Symbol.for('message')` is the line in JSON.
 */
export interface Transport extends NodeJS.EventEmitter {
  /** Least important level; undefined: that of the log. */
  level?: string | undefined;
  format?: unknown;
  log(info: object, next: (error?: unknown) => void): unknown;
}

/** One line of the log, flat, as transports get it. */
export type LineInfo = {
  readonly level: LogLevel;
  readonly message: string;
  readonly [field: string | symbol]: unknown;
};

type Construct = new (options: object) => unknown;

/**
 * Loads the modules that the settings name, and makes a transport of each. They run in this process, with its rights.
 * @throws {StartError} `ERR_MOTYA_LOG_TRANSPORT`, with the place in the settings
 */
export async function loadTransports({ transports }: { transports: readonly LogTransport[] }): Promise<Transport[]> {
  const loaded: Transport[] = [];
  for (const setting of transports) loaded.push(await load(setting));
  return loaded;
}

async function load({ module, path, export: name, options, level, place }: LogTransport): Promise<Transport> {
  const fail = (text: string, cause?: unknown): StartError =>
    new StartError('ERR_MOTYA_LOG_TRANSPORT', `${place}: log transport ${module}: ${text}`, { cause });
  let found: unknown;
  try {
    found = find(await import(pathToFileURL(path).href), name);
  } catch (error) {
    throw fail(`cannot be loaded: ${oneLine(error)}`, error);
  }
  if (typeof found !== 'function') throw fail(`has no class ${name ?? 'as its default export'}`);
  let made: unknown;
  try {
    made = new (found as Construct)(level === null ? { ...options } : { ...options, level });
  } catch (error) {
    throw fail(`cannot be made: ${oneLine(error)}`, error);
  }
  if (isTransport(made)) return made;
  throw fail(
    'is not a transport of winston 3: it must be a stream with log(info, next), as winston-transport makes it',
  );
}

const oneLine = (error: unknown): string => reasonOf(error).split('\n')[0] as string;

/** `export` of a module, such as `transports.Http`. What is CommonJS has all of it in its default export. */
function find(module: unknown, name: string | null): unknown {
  const step = (inside: unknown, key: string): unknown =>
    (typeof inside === 'object' || typeof inside === 'function') && inside !== null
      ? (inside as Record<string, unknown>)[key]
      : undefined;
  const initial = step(module, 'default');
  if (name === null) return typeof initial === 'function' ? initial : step(initial, 'default');
  const steps = name.split('.');
  return steps.reduce(step, module) ?? steps.reduce(step, initial);
}

function isTransport(made: unknown): made is Transport {
  const { log, write, on } = (made ?? {}) as Record<string, unknown>;
  return typeof log === 'function' && log.length <= 2 && typeof write === 'function' && typeof on === 'function';
}

/**
 * One transport behind a logger of its own: when it does not keep up, throws or fails, lines are lost there and nowhere else. Each kind
 * of trouble is said once, until the transport works again.
 */
export class TransportOutput {
  readonly #logger: ReturnType<typeof createWinston>;
  readonly #warn: (text: string, fields: object) => void;
  readonly #name: string;
  /** Lines that it has got, and those of which it has said `logged`. */
  #given = 0;
  #logged = 0;
  #lost = 0;
  #inTrouble = false;
  #settled: () => void = () => {};

  /** `warn`: into the log itself, not into the transports. */
  constructor(
    transport: Transport,
    { levels, level }: { levels: Readonly<Record<LogLevel, number>>; level: LogLevel },
    warn: (text: string, fields: object) => void,
  ) {
    this.#name = transport.constructor.name;
    this.#warn = warn;
    const log = transport.log.bind(transport);
    transport.log = (info, next) => {
      let isDone = false;
      const done = (error?: unknown): void => {
        if (error !== undefined && error !== null) this.#failed(error);
        if (!isDone) next();
        isDone = true;
      };
      try {
        log(info, done);
      } catch (error) {
        this.#failed(error);
        done();
      }
    };
    transport.on('error', (error: unknown) => this.#failed(error));
    // As winston's own say that a server or a disk does not take a line.
    transport.on('warn', (error: unknown) => this.#failed(error));
    transport.on('logged', () => {
      this.#logged += 1;
      this.#inTrouble = false;
      this.#settled();
    });
    this.#logger = createWinston({ level, levels: { ...levels }, transports: transport as never });
    this.#logger.on('error', () => {});
  }

  say(info: LineInfo): void {
    if (!this.#logger.writable || !this.#logger.isLevelEnabled(info.level)) return;
    if (this.#logger.writableLength >= QUEUED_LINES) {
      this.#lost += 1;
      if (this.#lost === 1)
        this.#failed(new Error(`${QUEUED_LINES} lines wait; later ones are lost until it takes them`));
      return;
    }
    this.#lost = 0;
    this.#given += 1;
    this.#logger.log({ ...info });
  }

  /** Ends the transport. Resolves with true when it has taken every line, with false after `ms`. */
  async end(ms: number): Promise<boolean> {
    if (this.#logger.writable) {
      const finished = new Promise<true>((resolve) => this.#logger.once('finish', () => resolve(true)));
      this.#logger.end();
      const began = performance.now();
      if ((await within(ms, finished)) === null) return false;
      // One that sends its lines to a server takes the next one at once, and says `logged` when the server has one.
      const left = Math.max(0, ms - (performance.now() - began));
      const delivered = new Promise<true>((resolve) => {
        this.#settled = () => {
          if (this.#inTrouble || this.#logged >= this.#given) resolve(true);
        };
        this.#settled();
      });
      const isHeard = await within(this.#logged === 0 ? Math.min(left, UNSAID_MS) : left, delivered);
      if (isHeard === null && this.#logged > 0) return false;
    }
    return true;
  }

  #failed(error: unknown): void {
    if (!this.#inTrouble) {
      const text = `log transport ${this.#name}: ${oneLine(error)}; its lines may be lost`;
      this.#warn(text, { event: 'log-transport', code: 'ERR_MOTYA_LOG_TRANSPORT', transport: this.#name });
    }
    this.#inTrouble = true;
    this.#settled();
  }
}
