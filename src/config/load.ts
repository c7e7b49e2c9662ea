import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { SettingsError } from '../base/errors.js';
import { stemOf } from '../base/os/paths.js';
import { suggestion } from '../base/suggestion.js';
import { readDocument, type SettingsDocument } from './document.js';
import {
  adoptOption,
  allowRemovedOption,
  configOption,
  forceOption,
  type SettingOption,
  saysOtherwise,
  settingOptions,
  unknownVariables,
  upgradeOption,
} from './options.js';
import type { Locate } from './problems.js';
import { resolveSettings } from './resolve.js';
import { absolutePath } from './resolve-path.js';
import { sandboxOf } from './sandbox.js';
import type { Settings } from './settings.js';
import type { SettingsInput } from './settings-schema.js';
import { WELCOME_SCRIPT } from './welcome-script.js';

/** What the command line gave: flags by their names (as yargs parses {@link yargsOptions}), a script and its arguments. */
export interface Flags {
  readonly [flag: string]: unknown;
  readonly script?: string | undefined;
  readonly args?: readonly string[] | undefined;
}

export interface LoadInput {
  readonly flags: Flags;
  readonly env: NodeJS.ProcessEnv;
  /** Absolute, as typed (see `typedInvocation`). */
  readonly cwd: string;
}

const welcome = {
  name: 'welcome',
  script: WELCOME_SCRIPT,
};

/**
 * The settings of an instance: flags before environment before file before defaults. What runs is the script of the command
 * line, else the services of the file, else the embedded welcome service.
 * @throws {SettingsError} with one line for every problem there is
 */
export function loadSettings({ flags, env, cwd }: LoadInput): Settings {
  const { script } = flags;
  if (script === '') throw new SettingsError('the script: must not be empty');
  const file = settingsFile({ flags, env, cwd });
  const document = file === null ? null : readDocument(file.path, file.shown);
  const input = (document?.content === undefined ? {} : structuredClone(document.content)) as SettingsInput;
  const places = new Map<string, string>();

  if (isObject(input) && (script !== undefined || file === null)) {
    if (input.services !== undefined) {
      const at = document?.locate(['services'], 'key').text;
      throw new SettingsError(
        `${at}: services: a script (${script}) is given on the command line too; leave one of them out`,
      );
    }
    const service =
      script === undefined
        ? welcome
        : { name: stemOf(script), script: absolutePath(cwd, script), args: [...(flags.args ?? [])] };
    const { name, ...settings } = service;
    input.services = { [name]: { ...settings, cwd } };
    places.set(`services.${name}.script`, script ?? welcome.script);
  }
  for (const option of settingOptions) {
    const given = givenValue(option, { flags, env, cwd });
    if (given === undefined) continue;
    // A flag or a variable goes before the file, whichever name each has used.
    if (option.former !== undefined && isObject(input)) delete (input as Record<string, unknown>)[option.former.path];
    // So does --drain-timeout before one duration for all kinds, which says the same.
    if (option.path === 'drainTimeout' && isObject(input) && !isObject(input.drain)) delete input.drain;
    for (const path of expand(option.path ?? '', input)) {
      if (assign(input, path, given.value)) places.set(path.join('.'), given.name);
    }
  }

  return resolveSettings(input, {
    cwd,
    env,
    source: file?.path ?? null,
    ...takingOver({ flags, env, cwd }),
    sandbox: sandboxOf(env),
    warnings: unknownVariables(env).map((name) => `${name}: unknown variable${suggestion(name, variables)}`),
    locate: locateIn(places, document),
    ...(script === undefined && file === null ? { fallbackName: welcome.name } : {}),
  });
}

const variables = [configOption, upgradeOption, forceOption, allowRemovedOption, adoptOption, ...settingOptions].map(
  ({ variable }) => variable,
);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function settingsFile(from: LoadInput): { path: string; shown: string } | null {
  const given = givenValue({ ...configOption, type: 'text' }, from);
  if (given !== undefined) {
    if (typeof given.value !== 'string') throw new SettingsError(`${given.name}: must be given once`);
    if (given.value === '') throw new SettingsError(`${given.name}: must not be empty`);
    return { path: absolutePath(from.cwd, given.value), shown: given.value };
  }
  if (from.flags.script !== undefined) return null;
  const shown = ['motya.yaml', 'motya.yml'].find((name) => existsSync(join(from.cwd, name)));
  return shown === undefined ? null : { path: join(from.cwd, shown), shown };
}

interface Given {
  readonly value: unknown;
  readonly name: string;
}

/** What a flag or, failing that, a variable says, as the schema takes it, and the name of the one that said it. */
function givenValue(option: SettingOption, { flags, env, cwd }: LoadInput): Given | undefined {
  const { former } = option;
  const flag = (name: string): Given | undefined =>
    flags[name] === undefined ? undefined : { value: read(option, flags[name], cwd), name: `--${name}` };
  // An empty variable is how a unit file or a shell takes one back.
  const variable = (name: string): Given | undefined =>
    env[name] === undefined || env[name] === '' ? undefined : { value: read(option, env[name], cwd), name };
  return (
    oneOf(flag(option.flag), former && flag(former.flag)) ??
    oneOf(variable(option.variable), former && variable(former.variable))
  );
}

/** @throws {SettingsError} the former name says something else */
function oneOf(given: Given | undefined, former: Given | undefined): Given | undefined {
  if (given === undefined || former === undefined || given.value === former.value) return given ?? former;
  throw new SettingsError(`${former.name}: ${saysOtherwise(given.name)}`);
}

/** What cannot be read is left as it is: the schema says what is wrong with it. */
function read({ type }: SettingOption, value: unknown, cwd: string): unknown {
  if (typeof value !== 'string') return value;
  switch (type) {
    case 'boolean':
      if (/^(true|yes|on|1)$/i.test(value)) return true;
      return /^(false|no|off|0)$/i.test(value) ? false : value;
    case 'number':
      return /^\d+(\.\d+)?$/.test(value) ? Number(value) : value;
    case 'path':
      return value === '' ? value : absolutePath(cwd, value);
    case 'address':
      return value.replace(/^unix:(?=[^/@])(.*)$/s, (_, path: string) => `unix:${absolutePath(cwd, path)}`);
    case 'text':
      return value;
  }
}

/** What the instance takes over, if anything. */
function takingOver(from: LoadInput): Pick<Settings, 'upgrade' | 'force' | 'allowRemoved' | 'adopt'> {
  const [upgrade, force] = [booleanOf(upgradeOption, from), booleanOf(forceOption, from)];
  const allowRemoved = booleanOf(allowRemovedOption, from);
  if (force && !upgrade)
    throw new SettingsError('--force: goes with --upgrade; without it there is no instance to replace');
  if (allowRemoved && !upgrade) throw new SettingsError('--allow-removed: goes with --upgrade');
  const { flags } = from;
  // A successor that an instance starts itself has the flags of that one.
  if (flags[upgradeOption.flag] === true && flags[adoptOption.flag] !== undefined) {
    throw new SettingsError(
      '--adopt: does not go with --upgrade, which takes over the listeners of the running instance',
    );
  }
  const adopt = givenValue(adoptOption, from);
  if (adopt === undefined) return { upgrade, force, allowRemoved, adopt: null };
  if (!Number.isSafeInteger(adopt.value) || (adopt.value as number) < 1) {
    throw new SettingsError(`${adopt.name}: must be the pid of a process`);
  }
  return { upgrade, force, allowRemoved, adopt: adopt.value as number };
}

function booleanOf(option: SettingOption, from: LoadInput): boolean {
  const given = givenValue(option, from);
  if (given === undefined) return false;
  if (typeof given.value !== 'boolean') throw new SettingsError(`${given.name}: must be true or false`);
  return given.value;
}

/** The path's steps, one path for each service where it has a `*`. */
function expand(path: string, input: SettingsInput): string[][] {
  const steps = path.split('.');
  const star = steps.indexOf('*');
  if (star < 0) return [steps];
  const services = isObject(input) && isObject(input.services) ? Object.keys(input.services) : [];
  return services.map((name) => steps.with(star, name));
}

/** Sets one value; false where the input is so wrong that there is no place for it (which the schema will say). */
function assign(input: unknown, path: readonly string[], value: unknown): boolean {
  const [step = '', ...rest] = path;
  if (!isObject(input)) return false;
  if (rest.length === 0) {
    input[step] = value;
    return true;
  }
  if (input[step] === undefined) input[step] = {};
  return assign(input[step], rest, value);
}

function locateIn(places: ReadonlyMap<string, string>, document: SettingsDocument | null): Locate {
  return (path, part) => {
    const place = places.get(path.join('.'));
    if (place !== undefined) return { text: place, names: true };
    return document === null ? { text: '', names: false } : document.locate(path, part);
  };
}
