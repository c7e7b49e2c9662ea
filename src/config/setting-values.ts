import { settingsJsonSchema } from './schema.js';

interface SchemaNode {
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly anyOf?: readonly SchemaNode[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode;
}

/** The values that a setting may have, where they can be listed: all, or the special ones (`auto`). */
export function valuesOf(setting: string): string[] {
  let node: SchemaNode | undefined = settingsJsonSchema() as SchemaNode;
  for (const step of setting.split('.')) node = step === '*' ? node?.additionalProperties : node?.properties?.[step];
  return listed(node);
}

function listed(node: SchemaNode | undefined): string[] {
  if (node?.enum !== undefined) return [...node.enum];
  if (node?.const !== undefined) return [node.const];
  return (node?.anyOf ?? []).flatMap(listed);
}
