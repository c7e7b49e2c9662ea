import { settingsJsonSchema } from './settings-schema.js';
import { durationPattern } from './values.js';

interface SchemaNode {
  readonly type?: string;
  readonly pattern?: string;
  readonly enum?: readonly string[];
  readonly const?: string | boolean;
  readonly anyOf?: readonly SchemaNode[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode;
}

/** The values that a setting may have, where they can be listed: all, or the special ones (`auto`). */
export function valuesOf(setting: string): string[] {
  return listed(nodeAt(setting));
}

/** What stands for a flag's value in a synopsis: `error|warn|info|debug`, `NUMBER|auto`, `DURATION`, `PIDFILE`. */
export function placeholderOf(flag: string, setting: string | undefined): string {
  const node = setting === undefined ? undefined : nodeAt(setting);
  const kinds = node?.anyOf ?? (node === undefined ? [] : [node]);
  if (kinds.some(({ pattern }) => pattern === durationPattern.source)) return 'DURATION';
  const known = listed(node);
  const isText = kinds.some((kind) => kind.type === 'string' && listed(kind).length === 0);
  const isNumber = kinds.some(({ type }) => type === 'integer');
  const free = isText || (!isNumber && known.length === 0) ? [flag.split('-').at(-1)?.toUpperCase()] : [];
  return [...(isNumber && !isText ? ['NUMBER'] : free), ...known].join('|');
}

function nodeAt(setting: string): SchemaNode | undefined {
  let node: SchemaNode | undefined = settingsJsonSchema() as SchemaNode;
  for (const step of setting.split('.')) node = step === '*' ? node?.additionalProperties : node?.properties?.[step];
  return node;
}

function listed(node: SchemaNode | undefined): string[] {
  if (node?.enum !== undefined) return [...node.enum];
  if (node?.const !== undefined) return [node.const === false ? 'off' : String(node.const)];
  return (node?.anyOf ?? []).flatMap(listed);
}
