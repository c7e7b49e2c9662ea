import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type * as Yaml from 'yaml';
import type { ParsedNode } from 'yaml';
import { reasonOf, SettingsError } from '../base/errors.js';
import type { Locate } from './problems.js';

/** A settings file: its content, and where in it each part stands. */
export interface SettingsDocument {
  /** As YAML 1.2 reads it; undefined for an empty file. */
  readonly content: unknown;
  /** Line and column of a part, both from 1; of the nearest part around it when it is missing. */
  readonly locate: Locate;
}

type ParsedPair = Yaml.Pair<ParsedNode, ParsedNode | null>;
type Inside = Yaml.Node | null | undefined;

/** Aliases that one file may expand to: a few for shared settings, not enough for a "billion laughs" file. */
const ALIASES = 100;

/**
 * @param path where the file is
 * @param shown how error messages name it, as the user typed it
 * @throws {SettingsError} with every syntax error of the file
 */
export function readDocument(path: string, shown: string): SettingsDocument {
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (error) {
    throw new SettingsError(`${shown}: ${causeOf(error)}`, { cause: error });
  }
  // Read here and not at the top: 50 ms that most starts, which have no file, would pay for nothing.
  const yaml = createRequire(import.meta.url)('yaml') as typeof Yaml;
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(source, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${shown}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    const errors = document.errors.map(({ code, message, pos: [offset] }) =>
      code === 'DUPLICATE_KEY' ? `${at(offset)}: the key is there twice` : `${at(offset)}: ${message}`,
    );
    throw new SettingsError(errors.join('\n'));
  }
  let content: unknown;
  try {
    content = document.toJS({ maxAliasCount: ALIASES }) ?? undefined;
  } catch (error) {
    throw new SettingsError(`${at(0)}: ${reasonOf(error)}`, { cause: error });
  }

  /** What stands at one step below a node: a pair of a map, or an item of a list. */
  const below = (node: Inside, step: PropertyKey): ParsedPair | ParsedNode | undefined => {
    const inside = yaml.isAlias(node) ? node.resolve(document) : node;
    if (yaml.isMap<ParsedNode, ParsedNode | null>(inside)) {
      return inside.items.find(({ key }) => String(yaml.isScalar(key) ? key.value : key) === String(step));
    }
    return yaml.isSeq<ParsedNode>(inside) ? inside.items[Number(step)] : undefined;
  };
  const locate: Locate = (path, part) => {
    let key: Inside = null;
    let value: Inside = document.contents;
    for (const step of path) {
      const found = below(value, step);
      if (found === undefined) break;
      key = yaml.isPair(found) ? found.key : null;
      value = yaml.isPair(found) ? found.value : found;
    }
    const node = part === 'key' ? (key ?? value) : (value ?? key);
    return { text: at(node?.range?.[0] ?? 0), names: false };
  };
  return { content, locate };
}

/** What a failed file operation means, in the words of the shell. */
export function causeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'no such file';
    case 'EACCES':
      return 'cannot be read: permission denied';
    case 'EISDIR':
      return 'is a directory';
    default:
      return reasonOf(error);
  }
}
