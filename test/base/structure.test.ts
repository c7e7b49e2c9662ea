import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, sep } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../e2e/harness/paths.js';

const SOURCES = join(ROOT, 'src');
/** From top to bottom: a room imports only from those after it. */
const ROOMS = [
  'cli',
  'supervisor',
  'keeper',
  'handover',
  'control',
  'workers',
  'status',
  'runtime',
  'listeners',
  'logging',
  'config',
  'base',
];
/** Outside the rooms: what the package exports, and what Node runs as `motya`. They import, and no file imports them. */
const ENTRIES = ['index.ts', 'motya.cts'];
const MOST_LINES = 300;
/** May be longer: a table with an entry for each error code. */
const TABLE = 'base/error-catalog.ts';

const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((name) => /\.c?ts$/.test(name));
const read = (file: string): string => readFileSync(join(SOURCES, file), 'utf8');
const roomOf = (file: string): string => file.split(sep)[0] as string;

/** Files that a file names in an import: static, dynamic, of a type, or in a comment (JSDoc), which the linter does not see. */
function importsOf(file: string, text = read(file)): string[] {
  const specifiers = text.matchAll(/(?:\bfrom|\bimport|\brequire)\s*\(?\s*(['"`])(\.{1,2}\/[^'"`]+)\1/g);
  return [...specifiers].map(([, , specifier = '']) => {
    const path = join(dirname(file), specifier);
    return path.replace(/\.(c?)js$/, '.$1ts');
  });
}

/** Imports of a file that go up, or out of the rooms. */
function wrongImports(file: string, text?: string): string[] {
  if (ENTRIES.includes(file)) return [];
  const own = ROOMS.indexOf(roomOf(file));
  return importsOf(file, text)
    .filter((imported) => imported.endsWith('ts') && ROOMS.indexOf(roomOf(imported)) < own)
    .map((imported) => `${file} imports ${imported}`);
}

/** Files that import each other, over how many others it may be. */
function circle(): string[] {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file) || !files.includes(file)) return [];
    for (const imported of importsOf(file)) {
      const found = visit(imported, [...path, file]);
      if (found.length > 0) return found;
    }
    done.add(file);
    return [];
  };
  return files.map((file) => visit(file, [])).find((found) => found.length > 0) ?? [];
}

test('directly under src there are the twelve rooms and two files', () => {
  assert.deepEqual(readdirSync(SOURCES).sort(), [...ROOMS, ...ENTRIES].sort());
});

test('no two source files share a name', () => {
  const names = files.map((file) => basename(file).replace(/\..*$/, '')).filter((name) => name !== 'index');
  assert.deepEqual(
    names.filter((name, at) => names.indexOf(name) !== at),
    [],
  );
});

test(`no source file has more than ${MOST_LINES} lines`, () => {
  const long = files.filter((file) => read(file).trimEnd().split('\n').length > MOST_LINES);
  assert.deepEqual(
    long.filter((file) => file !== TABLE),
    [],
  );
});

test('no file imports upwards, in types and comments either, and none in a circle', () => {
  assert.deepEqual(
    files.flatMap((file) => wrongImports(file)),
    [],
  );
  assert.deepEqual(circle(), []);
  for (const line of [
    "export type Status = import('../status/status-document.js').Status;",
    "/** @import { Status } from '../status/status-document.js' */",
    "const { Supervisor } = await import('../supervisor/supervisor.js');",
    "export { main } from '../index.js';",
  ]) {
    assert.equal(wrongImports('base/example.ts', line).length, 1, line);
  }
});

test('the linter refuses an import upwards with its reason, and a circle, in every room', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'motya-structure-'));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const file of ['biome.json', '.gitignore']) copyFileSync(join(ROOT, file), join(directory, file));
  mkdirSync(join(directory, 'src'));
  writeFileSync(join(directory, 'src', 'index.ts'), EXAMPLE);
  for (const [at, room] of ROOMS.entries()) {
    const above = ROOMS[at - 1];
    const examples = {
      'own.ts': EXAMPLE,
      'up.ts': exampleThatImports(above === undefined ? '../index.js' : `../${above}/own.js`),
      'down.ts': exampleThatImports(`../${ROOMS[at + 1] ?? room}/own.js`),
      'one.ts': "import type { Other } from './other.js';\n\nexport type One = Other[];\n",
      'other.ts': "import type { One } from './one.js';\n\nexport type Other = One | null;\n",
    };
    mkdirSync(join(directory, 'src', room));
    for (const [name, text] of Object.entries(examples)) writeFileSync(join(directory, 'src', room, name), text);
  }
  const biome = join(ROOT, 'node_modules', '.bin', 'biome');
  const args = ['check', '--error-on-warnings', '--reporter=json', '--max-diagnostics=none', '.'];
  const { status, stdout } = spawnSync(biome, args, { cwd: directory, encoding: 'utf8' });
  assert.equal(status, 1);
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: Diagnostic[] };
  const found = diagnostics.map(({ category, location, message }) => {
    return `${location.path} ${category.split('/').at(-1)} ${/^\S+ may import only what stands below it: /.exec(message)?.[0] ?? ''}`;
  });
  const expected = ROOMS.flatMap((room) => [
    // The command line imports the library nowhere, but nothing is above it.
    ...(room === 'cli'
      ? []
      : [`src/${room}/up.ts noRestrictedImports src/${room} may import only what stands below it: `]),
    `src/${room}/one.ts noImportCycles `,
    `src/${room}/other.ts noImportCycles `,
  ]);
  assert.deepEqual(found.sort(), expected.sort());
});

const EXAMPLE = 'export const own = 1;\n';
const exampleThatImports = (path: string): string => `import { own } from '${path}';\n\nexport const sum = own + 1;\n`;

interface Diagnostic {
  readonly category: string;
  readonly message: string;
  readonly location: { readonly path: string };
}
