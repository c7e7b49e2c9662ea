import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf, SettingsError } from '../../base/errors.js';
import { causeOf } from '../../config/document.js';

/** What Motya asks of a package.json. */
export interface Package {
  readonly name: string | null;
  readonly main: string | null;
  /** Without those that are empty: npm takes them for missing. */
  readonly scripts: ReadonlyMap<string, string>;
  readonly hasWorkspaces: boolean;
}

/**
 * The directory's package.json; null: there is none.
 * @throws {SettingsError} one line with `package.json:line:column` for what is no JSON
 */
export function packageIn(directory: string): Package | null {
  const path = join(directory, 'package.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const cause = causeOf(error);
    if (cause === 'no such file') return null;
    throw new SettingsError(`${path}: ${cause}`, { cause: error });
  }
  const content = parse(path, text);
  if (!isObject(content)) throw new SettingsError(`${path}: must be an object`);
  const { name, main, scripts, workspaces } = content;
  if (scripts !== undefined && !isObject(scripts)) throw new SettingsError(`${path}: scripts: must be an object`);
  return {
    name: typeof name === 'string' && name !== '' ? name : null,
    main: typeof main === 'string' && main !== '' ? main : null,
    scripts: new Map(
      Object.entries(scripts ?? {}).flatMap(([key, line]) => {
        if (typeof line !== 'string') throw new SettingsError(`${path}: scripts.${key}: must be a text`);
        return line.trim() === '' ? [] : [[key, line] as const];
      }),
    ),
    hasWorkspaces: workspaces !== undefined,
  };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function parse(path: string, text: string): unknown {
  // npm and Node read a package.json with a byte order mark, too.
  const json = text.replace(/^\uFEFF/, '');
  try {
    return JSON.parse(json);
  } catch (error) {
    const before = json.slice(0, placeOf(json, reasonOf(error))).split('\n');
    const place = `${path}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`;
    throw new SettingsError(`${place}: not valid JSON from here on`, { cause: error });
  }
}

/** Offset of the first character that JSON.parse() refuses. */
function placeOf(json: string, message: string): number {
  const said = / at position (\d+)/.exec(message)?.[1];
  if (said !== undefined) return Number(said);
  if (!isUnexpected(message)) return json.length;
  // V8 gives no position for a token that cannot stand where it is. The shortest beginning that it refuses for this ends there.
  let [good, bad] = [0, json.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (isRefused(json.slice(0, middle))) bad = middle;
    else good = middle;
  }
  return good;
}

const isUnexpected = (message: string): boolean => message.startsWith('Unexpected token');

function isRefused(beginning: string): boolean {
  try {
    JSON.parse(beginning);
    return false;
  } catch (error) {
    return isUnexpected(reasonOf(error));
  }
}
