import type { Code, FailureCode } from './error-catalog.js';
import { type Details, ProtocolError } from './errors.js';
import { MESSAGE_BYTES } from './limits.js';

/** A check for one field of a message. `T` is what the field holds once checked. */
export interface Field<T> {
  /** For error messages: what was expected. */
  readonly expects: string;
  /** Whether the value is a T. */
  readonly accepts: (value: unknown) => boolean;
  /** Never set; carries T. */
  readonly type?: T;
}

/** Longest text of one field, in UTF-16 units: PATH_MAX. */
const TEXT_LENGTH = 4096;

const field = <T>(expects: string, accepts: (value: unknown) => boolean): Field<T> => ({ expects, accepts });

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whole number from 0 to 2^53-1. */
export const int = field<number>('a whole number ≥ 0', (v) => Number.isSafeInteger(v) && (v as number) >= 0);
/** Whole number of either sign (errno is negative in Node). */
export const signed = field<number>('a whole number', (v) => Number.isSafeInteger(v));
export const bool = field<boolean>('true or false', (v) => typeof v === 'boolean');
export const text = field<string>('a text', (v) => typeof v === 'string' && v.length <= TEXT_LENGTH);
/** Not compared with the catalogue: the peer may be of a newer version, which has more codes. */
export const failureCode: Field<FailureCode> = text as Field<unknown> as Field<FailureCode>;
export const resultCode: Field<Code> = text as Field<unknown> as Field<Code>;
/** Not checked: for what a receiver can do without when it does not understand it. */
export const anything = field<unknown>('anything', () => true);
/** Facts of a failure. */
export const details = field<Details | undefined>(
  'an object of texts, numbers, booleans and nulls, or nothing',
  (v) => v === undefined || (isObject(v) && Object.values(v).every(isDetail)),
);
const isDetail = (v: unknown): boolean => v === null || ['number', 'boolean'].includes(typeof v) || text.accepts(v);
export const oneOf = <const T extends string>(...values: T[]): Field<T> =>
  field(`one of ${values.join(', ')}`, (v) => values.includes(v as T));
export const nullable = <T>(of: Field<T>): Field<T | null> =>
  field(`${of.expects} or null`, (v) => v === null || of.accepts(v));
export const optional = <T>(of: Field<T>): Field<T | undefined> =>
  field(`${of.expects} or nothing`, (v) => v === undefined || of.accepts(v));
export const list = <T>(of: Field<T>): Field<T[]> =>
  field(`a list of ${of.expects}`, (v) => Array.isArray(v) && v.every(of.accepts));
export const record = <S extends Shape>(shape: S): Field<Fields<S>> =>
  field(`an object of ${Object.keys(shape).join(', ')}`, (v) => isObject(v) && misfit(shape, v) === null);
export const union = <T extends Field<unknown>[]>(...of: T): Field<NonNullable<T[number]['type']>> =>
  field(of.map((f) => f.expects).join(', or '), (v) => of.some((f) => f.accepts(v)));

export type Shape = { readonly [name: string]: Field<unknown> };
type OptionalNames<S extends Shape> = { [K in keyof S]: undefined extends TypeOf<S[K]> ? K : never }[keyof S];
type TypeOf<F> = F extends Field<infer T> ? T : never;
export type Fields<S extends Shape> = {
  -readonly [K in Exclude<keyof S, OptionalNames<S>>]: TypeOf<S[K]>;
} & { -readonly [K in OptionalNames<S>]?: TypeOf<S[K]> };

export type Shapes = { readonly [type: string]: Shape };
/** The union of all messages of a protocol, told apart by `type`. */
export type MessageOf<S extends Shapes> = { [K in keyof S]: { type: K } & Fields<S[K]> }[keyof S];

/** The first field that does not fit, in words, or null. Inherited properties count for nothing. */
function misfit(shape: Shape, value: Record<string, unknown>): string | null {
  for (const [name, check] of Object.entries(shape)) {
    const given = Object.hasOwn(value, name) ? value[name] : undefined;
    if (!check.accepts(given)) return `${name} must be ${check.expects}`;
  }
  return null;
}

/** One protocol: a table of message types and the shape of each. One message is one JSON object in UTF-8 with a `type`. */
export class Codec<S extends Shapes> {
  readonly #shapes: S;
  readonly #lossy: ReadonlySet<keyof S>;

  /**
   * @param lossy messages that are delivered without fds when the kernel has dropped theirs, for want of room below RLIMIT_NOFILE.
   * Any other message that has lost fds ends its channel.
   */
  constructor(shapes: S, lossy: readonly (keyof S)[] = []) {
    this.#shapes = shapes;
    this.#lossy = new Set(lossy);
  }

  mayLoseFds({ type }: MessageOf<S>): boolean {
    return this.#lossy.has(type);
  }

  /** The types of its messages. */
  get types(): string[] {
    return Object.keys(this.#shapes);
  }

  /** @throws {ProtocolError} when the message is larger than {@link MESSAGE_BYTES}. */
  encode(message: MessageOf<S>): Buffer {
    const data = Buffer.from(JSON.stringify(message));
    if (data.length > MESSAGE_BYTES) {
      throw new ProtocolError(`${String(message.type)} has ${data.length} bytes; ${MESSAGE_BYTES} is the limit`);
    }
    return data;
  }

  /** Fields that the table does not name are let through unread: a later version may add some. @throws {ProtocolError} */
  decode(data: Uint8Array): MessageOf<S> {
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data));
    } catch (error) {
      throw new ProtocolError(`a message of ${data.length} bytes is not JSON`, { cause: error });
    }
    if (!isObject(value) || typeof value.type !== 'string') throw new ProtocolError('a message has no type');
    const type = value.type;
    const shape = Object.hasOwn(this.#shapes, type) ? this.#shapes[type] : undefined;
    if (shape === undefined) throw new ProtocolError(`unknown message type ${JSON.stringify(type.slice(0, 40))}`);
    const wrong = misfit(shape, value);
    if (wrong !== null) throw new ProtocolError(`${type}: ${wrong}`);
    return value as MessageOf<S>;
  }
}
