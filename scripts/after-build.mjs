// What `tsc` does not do: the command is executable, the status page is copied, and the JSON Schema for editors is written
// from the compiled schema.
import { chmodSync, cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { settingsJsonSchema } from '../dist/config/schema.js';

const at = (path) => new URL(`../${path}`, import.meta.url);
if (existsSync(at('dist/cli.js'))) chmodSync(at('dist/cli.js'), 0o755);
cpSync(at('src/admin/page'), at('dist/admin/page'), { recursive: true });
mkdirSync(at('schema'), { recursive: true });
writeFileSync(at('schema/motya.schema.json'), `${JSON.stringify(settingsJsonSchema(), null, 2)}\n`);
