// What `tsc` does not do: the command is executable, the status page is copied, packages and entries become one file each
// (./bundles.mjs), and the JSON Schema for editors is written from the compiled schema.
import { chmodSync, cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { bundleEntries, bundlePackages } from './bundles.mjs';

const at = (path) => new URL(`../${path}`, import.meta.url);

chmodSync(at('dist/motya.cjs'), 0o755);
await bundlePackages();
await bundleEntries();
cpSync(at('src/status/admin/page'), at('dist/status/admin/page'), { recursive: true });
const { settingsJsonSchema } = await import('../dist/config/settings-schema.js');
mkdirSync(at('schema'), { recursive: true });
writeFileSync(at('schema/motya.schema.json'), `${JSON.stringify(settingsJsonSchema(), null, 2)}\n`);
