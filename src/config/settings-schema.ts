import { DRAIN_KINDS } from '../base/drain-kinds.js';
import { LARGEST_ID } from '../base/limits.js';
import { PASSABLE, type Passable } from '../base/os/signal-names.js';
import * as z from '../base/vendor/zod.js';
import { adminForm, checkAdmin, parseAdminListener } from './admin-settings.js';
import { optionAt } from './options.js';
import {
  durationForm,
  durationPattern,
  listenerForm,
  octalForm,
  octalPattern,
  parseDuration,
  parseListener,
  parseOctal,
  parseProbePath,
  probePathForm,
  probePathPattern,
} from './values.js';

/** Workers of one service: far beyond any machine's CPUs, so that a typing error does not start a million processes. */
const MOST_WORKERS = 1024;

/**
 * The one schema of motya.yaml: types, validation and the JSON Schema for editors come from it. It takes what people write
 * (`z.input`) and gives what the code uses (`z.output`): durations in ms, listeners as the addon takes them.
 * Every error text completes the sentence "<key> …".
 */

/** `parse`, with the RangeErrors that it throws as issues of the schema. */
function parsed<In, Out>(parse: (value: In) => Out): (value: In, context: z.RefinementCtx) => Out {
  return (value, context) => {
    try {
      return parse(value);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      context.addIssue({ code: 'custom', message: error.message });
      return z.NEVER;
    }
  };
}

const descriptionOf = (path: string): string => optionAt(path).description;
/** The default that the command's help shows too. */
const defaultOf = (path: string): string => optionAt(path).default ?? '';

/** A NUL would end it early; Node's own refusal of one quotes the whole text, which may be a secret. */
const text = () =>
  z.string({ error: 'must be a text' }).refine((value) => !value.includes('\0'), 'must not hold a NUL character');
const filled = () => text().min(1, 'must not be empty');
const integer = (from: number, to: number, also = '') => {
  const error = `must be a whole number from ${from} to ${to}${also}`;
  return z.int({ error }).min(from, error).max(to, error);
};
const flag = () => z.boolean({ error: 'must be true or false' });
const choice = <const T extends readonly string[]>(...values: T) =>
  z.enum(values, { error: `must be one of ${values.join(', ')}` });
const listOf = <T extends z.ZodType>(of: T) => z.array(of, { error: 'must be a list' });
const shareForm = 'must be a number above 0, at most 1';
const octal = () => z.string({ error: octalForm }).regex(octalPattern, octalForm);

const duration = () =>
  z
    .union([z.number().min(0, durationForm), z.string().regex(durationPattern, durationForm)], { error: durationForm })
    .transform(parsed(parseDuration));

const drainForm = `must be a duration such as '30s', or an object of ${DRAIN_KINDS.join(', ')} and durations`;
/** The object first: an object's problems are told by it. */
export const drainObject = z.strictObject(
  {
    http: duration().optional().describe('Requests, idle connections, HTTP/2 without a stream'),
    streams: duration()
      .optional()
      .describe('Responses under way that have no Content-Length: event streams, tokens, gRPC'),
    webSockets: duration().optional().describe('WebSockets and other upgraded sockets'),
    tcp: duration().optional().describe('Other TCP'),
  },
  { error: drainForm },
);
const drain = () => z.union([drainObject, duration()], { error: drainForm });

const optionalPass = () => z.literal('pass', { error: 'must be pass' }).optional();
const keeper = () => z.union([z.boolean(), z.literal('auto')], { error: 'must be true, false or auto' });
const positiveDuration = () => duration().refine((ms) => ms > 0, 'must be longer than 0');

/** A user or a group; YAML makes a number of a uid. */
const account = () =>
  z.union([filled(), integer(0, LARGEST_ID)], { error: 'must be a name or a number' }).transform(String);

/** Names become parts of file names and of log lines. */
export const namePattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;
const nameForm = 'must be 1 to 64 letters, digits, _ - or . and not begin with - or .';

const address = () =>
  z.string({ error: listenerForm }).meta({
    description: 'Where to listen',
    examples: [
      'tcp://0.0.0.0:80',
      'tcp://[::]:443',
      'udp://0.0.0.0:53',
      'unix:/run/app.sock',
      'unix:@app',
      'systemd:http',
    ],
  });

export const listenerObject = z.strictObject(
  {
    listen: address(),
    backlog: integer(1, 2_147_483_647)
      .optional()
      .describe('Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn'),
    ipv6Only: flag().optional().describe('An IPv6 listener without IPv4 (IPV6_V6ONLY)'),
    mode: octal().optional().describe("Mode of a unix: listener's file, octal, such as '0660'"),
  },
  { error: `${listenerForm}, or an object with listen` },
);

const listener = z.union(
  [
    address().transform(parsed((value) => parseListener(value))),
    listenerObject.transform(parsed(({ listen, ...details }) => parseListener(listen, details))),
  ],
  { error: listenerForm },
);

export const serviceObject = z.strictObject(
  {
    script: filled().describe('Program to run, as node would be told to run it'),
    args: listOf(text()).default([]).describe('Arguments of the program'),
    cwd: filled().optional().describe("Working directory (default: the settings file's directory)"),
    env: z
      .record(
        z.string().regex(/^[^=\0]+$/, 'must be the name of a variable'),
        z
          .union([text(), z.number(), z.boolean()], { error: 'must be a text, a number, true or false' })
          .transform(String),
        { error: 'must be an object of names and values' },
      )
      .default({})
      .describe('Environment variables, added to those of the instance'),
    workers: z
      .union([integer(1, MOST_WORKERS, ', or auto'), z.literal('auto')], {
        error: `must be a whole number from 1 to ${MOST_WORKERS}, or auto`,
      })
      .default(1)
      .describe(descriptionOf('services.*.workers')),
    nodeArgs: listOf(text()).default([]).describe('Options of node itself, such as --max-old-space-size=512'),
    ready: choice('listen', 'signal').default('listen').describe(descriptionOf('services.*.ready')),
    connections: choice('move', 'drain').default('move').describe(descriptionOf('services.*.connections')),
    listeners: listOf(listener).default([]).describe('Listeners to open before the program asks for them'),
    drainTimeout: duration().optional().describe("This service's own drainTimeout"),
    drain: drain().optional().describe("This service's own drain"),
    killSignal: choice('TERM', 'INT', 'QUIT', 'HUP', 'USR2')
      .default('TERM')
      .describe('Signal that asks a worker to end, after the drain; pm2 sends INT'),
    killGrace: duration().prefault('5s').describe('Time from killSignal to SIGKILL, after the drain'),
  },
  { error: 'must be an object with a script' },
);

const LEVELS = ['error', 'warn', 'info', 'debug'] as const;

export const transportObject = z.strictObject(
  {
    module: filled().describe('Path of the module, or name of its package'),
    export: filled().optional().describe('Which of its exports, such as transports.Http (default: the default one)'),
    level: choice(...LEVELS)
      .optional()
      .describe('Least important lines that it gets (default: as log.level)'),
    options: z
      .record(z.string(), z.unknown(), { error: 'must be an object' })
      .default({})
      .describe('What its constructor gets'),
  },
  { error: 'must be an object of module, export, level and options' },
);

export const logObject = z.strictObject(
  {
    level: choice(...LEVELS)
      .default('info')
      .describe(descriptionOf('log.level')),
    format: choice('auto', 'json', 'pretty').default('auto').describe(descriptionOf('log.format')),
    file: filled().optional().describe(descriptionOf('log.file')),
    programs: choice('tagged', 'inherit').default('tagged').describe(descriptionOf('log.programs')),
    transports: listOf(transportObject)
      .default([])
      .describe("Transports of winston that get the supervisor's lines, too"),
  },
  { error: 'must be an object of level, format, file, programs and transports' },
);

export const adminObject = z.strictObject(
  {
    listen: z
      .union([z.literal(false), z.string()], { error: adminForm })
      .transform(parsed((value) => (value === false ? null : parseAdminListener(value))))
      .optional()
      .describe(descriptionOf('admin.listen')),
    mode: octal().optional().describe("Mode of its file, octal, such as '0660'; default '0600': only its user"),
    public: flag().default(false).describe(descriptionOf('admin.public')),
  },
  { error: 'must be an object of listen, mode and public' },
);

export const healthObject = z.strictObject(
  {
    path: filled()
      .regex(probePathPattern, probePathForm)
      .transform(parsed(parseProbePath))
      .optional()
      .describe(descriptionOf('health.path')),
    crashes: integer(1, 1_000_000)
      .default(Number(defaultOf('health.crashes')))
      .describe(descriptionOf('health.crashes')),
    errors: z
      .number({ error: shareForm })
      .gt(0, shareForm)
      .max(1, shareForm)
      .optional()
      .describe(descriptionOf('health.errors')),
  },
  { error: 'must be an object of path, crashes and errors' },
);

export const signalsObject = z.strictObject(
  Object.fromEntries(PASSABLE.map((name) => [name, optionalPass().describe(`SIG${name}`)])) as Record<
    Passable,
    ReturnType<typeof optionalPass>
  >,
  { error: `must be an object of signals (${PASSABLE.join(', ')}) and pass` },
);

export const settingsObject = z.strictObject(
  {
    name: text().regex(namePattern, nameForm).optional().describe(descriptionOf('name')),
    services: z
      .record(z.string().regex(namePattern, nameForm), serviceObject, {
        error: 'must be an object of names and services',
      })
      .refine((services) => Object.keys(services).length > 0, 'must name at least one service')
      .optional()
      .describe('What to run, by name'),
    pidfile: filled().optional().describe(descriptionOf('pidfile')),
    upgradeSocket: filled().optional().describe(descriptionOf('upgradeSocket')),
    user: account().optional().describe(descriptionOf('user')),
    group: account().optional().describe(descriptionOf('group')),
    daemonize: flag().default(false).describe(descriptionOf('daemonize')),
    keeper: keeper().optional().describe(descriptionOf('keeper')),
    /** The former name of `keeper`. */
    supervise: keeper().optional(),
    drainTimeout: duration().prefault(defaultOf('drainTimeout')).describe(descriptionOf('drainTimeout')),
    drain: drain().optional().describe('The same by kind of connection; kinds that are not named have drainTimeout'),
    upgradeWait: duration().prefault(defaultOf('upgradeWait')).describe(descriptionOf('upgradeWait')),
    readyTimeout: positiveDuration().prefault(defaultOf('readyTimeout')).describe(descriptionOf('readyTimeout')),
    probation: duration().prefault(defaultOf('probation')).describe(descriptionOf('probation')),
    health: healthObject.prefault({}).describe('What ends a probation with a rollback'),
    signals: signalsObject.prefault({}).describe('Signals that the programs get, too'),
    onQuit: choice('start', 'wait').default('start').describe(descriptionOf('onQuit')),
    umask: octal().transform(parseOctal).optional().describe(descriptionOf('umask')),
    admin: adminObject
      .superRefine(checkAdmin)
      .prefault({})
      .describe('The listener for health checks, metrics and the status page'),
    log: logObject.prefault({}).describe("The supervisor's own log"),
  },
  { error: 'must be an object of settings' },
);

/** Without the names that settings had before: those are accepted and not shown. */
const presentNames = settingsObject.omit({ supervise: true });

/** Settings as people write them: the content of motya.yaml, or the object that a program passes. */
export type SettingsInput = z.input<typeof settingsObject>;
/** The same once it is valid, with defaults, but paths and names as they were written. */
export type ValidSettings = z.output<typeof settingsObject>;

/** Keys that are allowed at a place of the settings, or none where any is. */
export function keysAt(path: readonly PropertyKey[]): string[] {
  const [first, , third] = path;
  if (path.at(-1) === 'drain' && (path.length === 1 || (path.length === 3 && first === 'services')))
    return [...DRAIN_KINDS];
  if (path.length === 0) return Object.keys(presentNames.shape);
  if (path.length === 1 && first === 'log') return Object.keys(logObject.shape);
  if (path.length === 3 && first === 'log') return Object.keys(transportObject.shape);
  if (path.length === 1 && first === 'health') return Object.keys(healthObject.shape);
  if (path.length === 1 && first === 'signals') return [...PASSABLE];
  if (path.length === 1 && first === 'admin') return Object.keys(adminObject.shape);
  if (path.length === 2 && first === 'services') return Object.keys(serviceObject.shape);
  if (path.length === 4 && third === 'listeners') return Object.keys(listenerObject.shape);
  return [];
}

/** JSON Schema (2020-12) of motya.yaml, for editors. */
export function settingsJsonSchema(): Record<string, unknown> {
  return { title: 'Settings of Motya (motya.yaml)', ...z.toJSONSchema(presentNames, { io: 'input' }) };
}
