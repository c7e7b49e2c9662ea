import { readFileSync, statSync } from 'node:fs';
import { basename } from 'node:path';

/** Bytes of a JSON file that is looked into for the `apps` of pm2: settings are small, a data file given by mistake may not be. */
const LARGEST_PM2_FILE = 1_000_000;

/** The names that pm2 documents for its settings file. */
const ECOSYSTEM = /^ecosystem\.config\.(?:[cm]?[jt]s|json)$/;

/**
 * What to say of a script that is a settings file of pm2, or null. Node would run such a file without an error, and it would
 * listen on nothing. A JavaScript file is told by its name alone: its content is known only after it has run.
 */
export function whyPm2Settings(path: string): string | null {
  const name = basename(path);
  const isJson = name.endsWith('.json');
  const apps = isJson ? appsOf(path) : null;
  if (!ECOSYSTEM.test(name) && apps === null) return null;
  const script = firstScript(apps);
  const named = script === null ? '' : ` (its first app runs ${JSON.stringify(script)})`;
  return `is a settings file of pm2, not a program${named}; name the program itself; motya init PROGRAM writes a motya.yaml for it`;
}

/** The value of the `apps` key, null without one or for what cannot be read. */
function appsOf(path: string): unknown {
  try {
    if (statSync(path).size > LARGEST_PM2_FILE) return null;
    const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof content === 'object' && content !== null && 'apps' in content ? content.apps : null;
  } catch {
    return null;
  }
}

function firstScript(apps: unknown): string | null {
  const first: unknown = Array.isArray(apps) ? apps[0] : apps;
  if (typeof first !== 'object' || first === null || !('script' in first)) return null;
  return typeof first.script === 'string' ? first.script : null;
}
