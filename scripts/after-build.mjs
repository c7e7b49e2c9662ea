// What `tsc` does not do: the command is executable, the status page is copied, each package of src/base/vendor/ becomes one file, and the
// JSON Schema for editors is written from the compiled schema.
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const at = (path) => new URL(`../${path}`, import.meta.url);

/**
 * yargs lays out a help page in every command, seen or not (cacheHelpMessage in its command.js). What measures its lines asks ICU for
 * grapheme clusters: 60 ms of CPU. The pages of `motya` are ASCII, as a test says.
 */
const asciiWidth = {
  name: 'ascii-width',
  setup(build) {
    build.onResolve({ filter: /^string-width$/ }, ({ path }) => ({ path, namespace: 'ascii-width' }));
    build.onLoad({ filter: /./, namespace: 'ascii-width' }, () => ({
      contents: 'export default (text) => text.length;',
    }));
  },
};

chmodSync(at('dist/motya.cjs'), 0o755);
await bundle();
cpSync(at('src/status/admin/page'), at('dist/status/admin/page'), { recursive: true });
const { settingsJsonSchema } = await import('../dist/config/settings-schema.js');
mkdirSync(at('schema'), { recursive: true });
writeFileSync(at('schema/motya.schema.json'), `${JSON.stringify(settingsJsonSchema(), null, 2)}\n`);

/**
 * Node takes about a millisecond for each file that it loads, and these packages have some 250: half of the time in which a command
 * starts. What is in the bundles keeps its licence beside them.
 */
async function bundle() {
  const vendor = fileURLToPath(at('dist/base/vendor'));
  const names = readdirSync(vendor).filter((name) => name.endsWith('.js'));
  const { metafile } = await build({
    entryPoints: names.map((name) => join(vendor, name)),
    outdir: vendor,
    allowOverwrite: true,
    bundle: true,
    minify: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    // What is CommonJS in them asks for Node's own modules.
    banner: {
      js: "import { createRequire as requireIn } from 'node:module'; const require = requireIn(import.meta.url);",
    },
    plugins: [asciiWidth],
    metafile: true,
    logLevel: 'warning',
  });
  for (const name of names) rmSync(join(vendor, `${name}.map`), { force: true });
  const directories = Object.keys(metafile.inputs).flatMap(
    (path) => /^.*node_modules\/(@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0] ?? [],
  );
  const licences = [...new Set(directories)].sort().map((directory) => {
    const { name, version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
    const file = readdirSync(directory).find((one) => /^licen[cs]e/i.test(one));
    return `${name} ${version}\n\n${file === undefined ? 'see its package.json' : readFileSync(join(directory, file), 'utf8').trim()}\n`;
  });
  writeFileSync(join(vendor, 'LICENSES.txt'), licences.join('\n---\n\n'));
}
