/** Which worker has written a line. */
export interface Tag {
  readonly service: string;
  /** From 0 to workers-1. */
  readonly worker: number;
  readonly generation: number;
}

export type Stream = 'stdout' | 'stderr';

/** The form in which lines are passed on. */
export interface Form {
  readonly pretty: boolean;
  /** With the colours of a terminal (`pretty` only). */
  readonly coloured: boolean;
  /** For journald: lines may begin with their priority, `<4>` (sd-daemon(3)). */
  readonly journal: boolean;
}

/** Tags whole lines, each with its newline. `partial`: it is a piece of one line, and more of it follows. */
export type Tagger = (lines: Buffer, partial: boolean) => Buffer;

/**
 * What a line of a program becomes. Pretty: a prefix, and its bytes as they are. JSON: a line that is a JSON object gets the tag
 * as its first members, any other becomes the message of one. Works on whole chunks: some have thousands of lines.
 */
export function taggerFor(tag: Tag, stream: Stream, form: Form): Tagger {
  return form.pretty ? prettyTagger(tag, stream, form) : jsonTagger(tag, stream, form);
}

const BRACE = '{'.charCodeAt(0);
const END_BRACE = '}'.charCodeAt(0);

function jsonTagger({ service, worker, generation }: Tag, stream: Stream, { journal }: Form): Tagger {
  const members = JSON.stringify({ service, worker, generation }).slice(1, -1);
  const start = `${members},"stream":"${stream}",`;
  return (lines, partial) => {
    const head = `{"time":"${new Date().toISOString()}",${start}${partial ? '"partial":true,' : ''}"message":`;
    let out = '';
    for (const raw of lines.toString('utf8', 0, lines.length - 1).split('\n')) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      const object = partial ? null : objectIn(line);
      const { priority, text } = journal ? withPriority(line, object, stream) : { priority: '', text: line };
      if (object === null) out += `${priority}${head}${JSON.stringify(text)}}\n`;
      else out += `${priority}{${members}${Object.keys(object).length === 0 ? '' : ','}${line.slice(1)}\n`;
    }
    return Buffer.from(out);
  };
}

/** The line as an object. What only looks like one would make a line that no reader of JSON takes. */
function objectIn(line: string): object | null {
  if (line.charCodeAt(0) !== BRACE || line.charCodeAt(line.length - 1) !== END_BRACE) return null;
  try {
    return JSON.parse(line) as object;
  } catch {
    return null;
  }
}

function prettyTagger({ service, worker, generation }: Tag, stream: Stream, { coloured, journal }: Form): Tagger {
  const name = `${service}.${worker} g${generation}`;
  const bar = stream === 'stderr' ? '\x1b[31m│' : '│';
  const shown = coloured ? `\x1b[${colourOf(service)}m${name} ${bar}\x1b[0m ` : `${name} │ `;
  // latin1 has a character for every byte, so that bytes survive that are no UTF-8.
  const prefix = Buffer.from(shown).toString('latin1');
  return (lines) => {
    const text = lines.toString('latin1', 0, lines.length - 1);
    if (!journal) return Buffer.from(`${prefix}${text.replaceAll('\n', `\n${prefix}`)}\n`, 'latin1');
    const tagged = text.split('\n').map((line) => {
      const { priority, text } = withPriority(line, objectIn(line), stream);
      return `${priority}${prefix}${text}\n`;
    });
    return Buffer.from(tagged.join(''), 'latin1');
  };
}

/** Cyan, green, yellow, blue, magenta: red is for stderr. A service keeps its own. */
const COLOURS = [36, 32, 33, 34, 35];

function colourOf(service: string): number {
  let sum = 0;
  for (const character of service) sum += character.charCodeAt(0);
  return COLOURS[sum % COLOURS.length] as number;
}

/**
 * What `journalctl -p` is to find the line by: what the program itself says, `<3>` before the line or a level within its JSON;
 * else its stderr is a warning, and stdout what the unit's SyslogLevel= says (info).
 */
function withPriority(line: string, object: object | null, stream: Stream): { priority: string; text: string } {
  if (/^<[0-7]>/.test(line)) return { priority: line.slice(0, 3), text: line.slice(3) };
  const level = object !== null && 'level' in object ? priorityOf(object.level) : undefined;
  if (level !== undefined) return { priority: `<${level}>`, text: line };
  return { priority: stream === 'stderr' ? '<4>' : '', text: line };
}

/** The level as a priority of syslog: from syslog's own numbers, those of pino and bunyan, or the names of other loggers. */
function priorityOf(level: unknown): number | undefined {
  if (typeof level === 'string') return LEVEL_PRIORITIES.get(level.toLowerCase());
  if (typeof level !== 'number') return undefined;
  if (level >= 0 && level <= 7) return Math.floor(level);
  return level >= 60 ? 2 : level >= 50 ? 3 : level >= 40 ? 4 : level >= 30 ? 6 : 7;
}

const LEVEL_PRIORITIES: ReadonlyMap<string, number> = new Map([
  ['emerg', 0],
  ['alert', 1],
  ['crit', 2],
  ['critical', 2],
  ['fatal', 2],
  ['error', 3],
  ['err', 3],
  ['warn', 4],
  ['warning', 4],
  ['notice', 5],
  ['info', 6],
  ['http', 6],
  ['verbose', 7],
  ['debug', 7],
  ['trace', 7],
  ['silly', 7],
]);
