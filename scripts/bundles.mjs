// Makes one file of many, because Node takes about a millisecond for each file that it loads.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));

const COMMONJS = {
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  banner: {
    js: "'use strict'; const bundleUrl = require('node:url').pathToFileURL(__filename).href, builtin = require;",
  },
  logLevel: 'warning',
};

/** What processes load at their start, each with all that it imports. The modules themselves stay beside it, for tests. */
const ENTRIES = ['cli/main.js', 'index.js', 'runtime/install.js', 'runtime/branch.js'];

/**
 * Writes `x.cjs` beside each entry `x.js`. CommonJS, which Node loads faster than a module: and what only `import()` asks for runs no
 * earlier in it, nor is what that imports of Node loaded earlier.
 */
export async function bundleEntries() {
  for (const entry of ENTRIES) {
    const outfile = join(DIST, entry.replace(/\.js$/, '.cjs'));
    await build({
      entryPoints: [join(DIST, entry)],
      outfile,
      ...COMMONJS,
      packages: 'external',
      // For the `name` of an error: a class that names itself gets another one. It costs something at each closure, too much in a worker.
      keepNames: !entry.startsWith('runtime/'),
      plugins: [bundledPackages(dirname(outfile)), asBefore(dirname(outfile))],
    });
  }
  // What `import` finds. It only exports what other modules do.
  const index = join(DIST, 'index.js');
  writeFileSync(index, readFileSync(index, 'utf8').replace(/ from '.*';/g, " from './index.cjs';"));
}

/** The packages of src/base/vendor/ are not repeated in the bundles. */
const bundledPackages = (directory) => ({
  name: 'bundled-packages',
  setup(build) {
    build.onResolve({ filter: /\/vendor\/[a-z]+\.js$/ }, ({ path, resolveDir }) => {
      const bundle = relative(directory, join(resolveDir, path)).replace(/\.js$/, '.cjs');
      return { path: `./${bundle}`, external: true };
    });
  },
});

/**
 * Lets modules be in a bundle what they are without it. `import.meta.url` is that of their own file. What they import of Node is
 * taken once: esbuild would look it up at each call, where a program may have replaced it since.
 */
const asBefore = (directory) => ({
  name: 'as-before',
  setup(build) {
    build.onLoad({ filter: /\.js$/ }, ({ path }) => {
      const url = `new URL(${JSON.stringify(relative(directory, path))}, bundleUrl).href`;
      const contents = readFileSync(path, 'utf8')
        .replaceAll('import.meta.url', url)
        .replace(/^import ([^;]+?) from ['"](node:[^'"]+)['"];/gm, (_, names, module) => taken(names, module));
      return { contents };
    });
  },
});

/** `import one, { a as b } from 'node:fs'`, as a constant. */
function taken(names, module) {
  const [, whole, parts] = /^(?:\* as )?([\w$]+)?,? ?(\{[^}]*\})?$/s.exec(names);
  const required = `builtin(${JSON.stringify(module)})`;
  const constants = [
    ...(whole === undefined ? [] : [`${whole} = ${required}`]),
    ...(parts === undefined ? [] : [`${parts.replace(/ as /g, ': ')} = ${whole ?? required}`]),
  ];
  return `const ${constants.join(', ')};`;
}

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

/**
 * Node takes about a millisecond for each file that it loads, and these packages have some 250: half of the time in which a command
 * starts. What is in the bundles keeps its licence beside them.
 */
export async function bundlePackages() {
  const vendor = join(DIST, 'base/vendor');
  const names = readdirSync(vendor).filter((name) => name.endsWith('.js'));
  const { metafile } = await build({
    entryPoints: names.map((name) => join(vendor, name)),
    outdir: vendor,
    outExtension: { '.js': '.cjs' },
    ...COMMONJS,
    minify: true,
    define: { 'import.meta.url': 'bundleUrl' },
    plugins: [asciiWidth],
    metafile: true,
  });
  for (const name of names) {
    const bundle = `./${basename(name, '.js')}.cjs`;
    const exported = Object.keys(createRequire(join(vendor, name))(bundle));
    writeFileSync(join(vendor, name), `export { ${exported.join(', ')} } from '${bundle}';\n`);
    rmSync(join(vendor, `${name}.map`), { force: true });
  }
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
