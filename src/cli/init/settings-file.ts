import { stringify } from 'yaml';
import { settingsJsonSchema } from '../../config/settings-schema.js';
import type { Program } from './program.js';

/** The part of JSON Schema that describes a setting. */
interface SettingSchema {
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly unknown[];
  readonly type?: string;
  readonly properties?: Readonly<Record<string, SettingSchema>>;
  readonly additionalProperties?: SettingSchema;
}

/** For settings whose default is nothing that could be written, or says nothing. */
const EXAMPLES: Readonly<Record<string, unknown>> = {
  'services.*.args': ['--verbose'],
  'services.*.cwd': '.',
  'services.*.env': { NODE_ENV: 'production' },
  'services.*.nodeArgs': ['--max-old-space-size=512'],
  'services.*.listeners': ['tcp://[::]:3000'],
  'services.*.drainTimeout': '2m',
  'services.*.drain': { webSockets: '1h' },
  drain: { http: '30s', streams: '15m', webSockets: '1h', tcp: '5m' },
  pidfile: 'motya.pid',
  upgradeSocket: 'motya.sock',
  user: 'www-data',
  umask: '022',
  'health.path': '/healthz',
  'signals.HUP': 'pass',
  'signals.USR2': 'pass',
  'admin.listen': 'tcp://127.0.0.1:9090',
  'log.file': 'motya.log',
};

/**
 * A motya.yaml that runs `program`. Every setting that it does not need is there as a comment with its default, out of the
 * schema: text after "# ", what may be uncommented after a bare "#".
 * @param schemaPath of the JSON Schema, as an editor finds it from the file; null when it lies elsewhere.
 */
export function settingsFile(name: string, program: Program, schemaPath: string | null): string {
  const schema = settingsJsonSchema() as SettingSchema;
  const { name: nameSchema, services, ...others } = schema.properties ?? {};
  const { service, workers, ...texts } = program;
  const given = new Map<string, unknown>(Object.entries(texts).filter(([, value]) => Object.keys(value).length > 0));
  if (workers !== null) given.set('workers', workers);
  const lines = [
    ...(schemaPath === null ? [] : [`# yaml-language-server: $schema=${schemaPath}`]),
    '# Settings of Motya. Commented out: the defaults, or an example where there is none. `motya check` says what is wrong.',
    '',
    `# ${nameSchema?.description ?? ''}`,
    `name: ${flow(name)}`,
    '',
    'services:',
    `  ${flow(service)}:`,
    ...blocks('services.*.', services?.additionalProperties?.properties ?? {}, given).map(
      (line) => line && `    ${line}`,
    ),
    '',
    ...blocks('', others, new Map()),
  ];
  return `${lines.join('\n')}\n`;
}

/** The settings of one object: those that are `given`, and the others as comments, each under its description. */
function blocks(
  at: string,
  properties: Readonly<Record<string, SettingSchema>>,
  given: ReadonlyMap<string, unknown>,
): string[] {
  const known = Object.entries(properties).flatMap(([key, schema]): string[][] => {
    const value = given.get(key);
    if (value !== undefined) return [[...prose(schema), `${key}: ${flow(value)}`]];
    if (schema.properties !== undefined) return [group(key, schema.properties)];
    const sample = sampleOf(at + key, schema);
    return sample === undefined ? [] : [[...prose(schema), `#${key}: ${flow(sample)}`]];
  });
  return known.flatMap((block, index) => (index === 0 ? block : ['', ...block]));
}

/** A nested object, to be uncommented as a whole. */
function group(key: string, properties: Readonly<Record<string, SettingSchema>>): string[] {
  const known = Object.entries(properties).flatMap(([inner, schema]) => {
    const sample = sampleOf(`${key}.${inner}`, schema);
    return sample === undefined ? [] : [{ inner, sample, schema }];
  });
  return [
    ...known.map(({ inner, schema }) => `# ${key}.${inner}: ${schema.description ?? ''}`),
    `#${key}:`,
    ...known.map(({ inner, sample }) => `#  ${inner}: ${flow(sample)}`),
  ];
}

const prose = ({ description }: SettingSchema): string[] => (description === undefined ? [] : [`# ${description}`]);

/** The default; else an example or one of the allowed values. Undefined: the setting is not shown. */
function sampleOf(path: string, schema: SettingSchema): unknown {
  return EXAMPLES[path] ?? schema.default ?? schema.enum?.[0];
}

/** On one line, quoted where YAML would read something else. */
function flow(value: unknown): string {
  const json = JSON.stringify(value);
  // YAML knows the escapes of JSON; stringify() would break the line at a line break of the text.
  return /\\[a-z]/.test(json) ? json : stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trimEnd();
}
