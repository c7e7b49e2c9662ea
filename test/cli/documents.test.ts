import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, test } from 'node:test';
import { ERRORS } from '#src/base/error-catalog.js';
import type { Command } from '#src/cli/command.js';
import { commands } from '#src/cli/commands/index.js';
import { settingOptions } from '#src/config/options.js';
import * as worker from '#src/runtime/api.js';
import { PHASES } from '#src/status/phases.js';
import { Supervisor } from '#src/supervisor/supervisor.js';
import { ROOT } from '../e2e/harness/index.js';

const filesBelow = (directory: string): string[] =>
  readdirSync(join(ROOT, directory), { recursive: true, encoding: 'utf8' }).map((name) => join(directory, name));

const pages = ['README.md', 'CONTRIBUTING.md', ...filesBelow('docs').filter((path) => path.endsWith('.md'))];
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Without its code blocks and code spans. */
const proseOf = (text: string): string => text.replace(/^```.*?^```/gms, '').replace(/`[^`\n]*`/g, '``');
/** All code blocks and code spans. */
const codeOf = (text: string): string[] => [
  ...[...text.matchAll(/^```\w*\n(.*?)^```/gms)].flatMap(([, block = '']) => block.split('\n')),
  ...[...text.replace(/^```.*?^```/gms, '').matchAll(/`([^`\n]*)`/g)].map(([, span = '']) => span),
];

/** The anchors that GitHub gives the headings of a page. */
function anchorsOf(page: string): Set<string> {
  const headings = read(page)
    .replace(/^```.*?^```/gms, '')
    .matchAll(/^#+ (.*)$/gm);
  const slugs = [...headings].map(([, heading = '']) =>
    heading
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );
  return new Set(slugs);
}

/** Links of a page to files of the repository: path from its root, and anchor. */
function linksOf(page: string): { path: string; anchor: string }[] {
  const links = proseOf(read(page)).matchAll(/\]\(([^)\s#]*)#?([^)\s]*)\)/g);
  return [...links]
    .filter(([, path = '']) => !/^[a-z]+:/.test(path))
    .map(([, path = '', anchor = '']) => ({ path: path === '' ? page : join(dirname(page), path), anchor }));
}

describe('documents', () => {
  test('docs/reference/commands.md and errors.md are what the sources and scripts/docs make of it (npm run docs)', () => {
    const { status, stderr } = spawnSync(process.execPath, [`${ROOT}scripts/docs.mjs`, '--check'], {
      encoding: 'utf8',
    });
    assert.deepEqual([status, stderr], [0, '']);
  });

  test('each link leads to a file, and to a heading of it', () => {
    const broken = pages.flatMap((page) =>
      linksOf(page)
        .filter(({ path, anchor }) => {
          if (!existsSync(join(ROOT, path))) return true;
          return anchor !== '' && !(path.endsWith('.md') && anchorsOf(path).has(anchor));
        })
        .map(({ path, anchor }) => `${page}: ${path}#${anchor}`),
    );
    assert.deepEqual(broken, []);
  });

  test('each page can be reached from the README by links', () => {
    const reached = new Set(['README.md']);
    for (const page of reached) {
      for (const { path } of linksOf(page)) if (path.endsWith('.md')) reached.add(path);
    }
    assert.deepEqual(
      pages.filter((page) => !reached.has(page)),
      [],
    );
  });

  test('each page that a source file, an example or a message names is there', () => {
    const named = ['src', 'native', 'test', 'bench', 'scripts', 'examples']
      .flatMap(filesBelow)
      .filter(
        (path) => /\.(c?ts|mjs|js|cc|h|md|service|yaml|conf|sh)$/.test(path) && statSync(join(ROOT, path)).isFile(),
      )
      .flatMap((path) => [...read(path).matchAll(/\bdocs\/[\w/-]+\.(?:md|json|svg)\b/g)].map(([name]) => [path, name]))
      .filter(([path, name = '']) => !existsSync(join(ROOT, name)) && !path?.startsWith('test/e2e/programs'));
    assert.deepEqual(named, []);
  });

  test('each error code that the documents name is in the catalogue', () => {
    const known = new Set(Object.keys(ERRORS));
    const named = pages.flatMap((page) => [...read(page).matchAll(/\bERR_MOTYA_\w+/g)].map(([code]) => [page, code]));
    assert.deepEqual(
      named.filter(([, code = '']) => !known.has(code)),
      [],
    );
  });

  test('the tables of phases and of events have them all', () => {
    const rows = (page: string, heading: string): string[] => {
      const section =
        read(page)
          .split(/^## /m)
          .find((part) => part.startsWith(`${heading}\n`)) ?? '';
      return [...section.matchAll(/^\| `(\w+)` \|/gm)].map(([, name = '']) => name).sort();
    };
    assert.deepEqual(rows('docs/internals/protocol.md', 'Phases'), Object.keys(PHASES).sort());
    const [, events = ''] =
      /^export interface SupervisorEvents \{$(.*?)^\}/ms.exec(read('src/supervisor/events.ts')) ?? [];
    const names = [...events.matchAll(/^ {2}(\w+): \[/gm)].map(([, name = '']) => name).sort();
    assert.ok(names.length > 20);
    assert.deepEqual(rows('docs/reference/library.md', 'Events'), names);
  });

  test('the reference has each member of Supervisor, each export of motya/worker, and each setting', () => {
    const codeIn = (page: string): string => codeOf(read(page)).join('\n');
    const missing = (names: readonly string[], page: string): string[] => {
      const text = codeIn(page);
      return names.filter((name) => !new RegExp(`^${name.replaceAll('.', '\\.')}\\b`, 'm').test(text));
    };
    const members = Object.getOwnPropertyNames(Supervisor.prototype).filter((name) => name !== 'constructor');
    assert.deepEqual(missing(members, 'docs/reference/library.md'), []);
    assert.deepEqual(missing(Object.keys(worker), 'docs/reference/worker-api.md'), []);
    const settings = settingOptions.flatMap(({ path }) => path?.replace('services.*.', '') ?? []);
    assert.deepEqual(missing(settings, 'docs/reference/settings.md'), []);
    assert.deepEqual(
      missing(
        settingOptions.map(({ flag }) => `--${flag}`),
        'docs/reference/settings.md',
      ),
      [],
    );
  });

  test('tests and scripts that the documents name are there', () => {
    const scripts = Object.keys((JSON.parse(read('package.json')) as { scripts: object }).scripts);
    const tests = filesBelow('test').filter((path) => path.endsWith('.test.ts'));
    const runs = pages.flatMap((page) => codeOf(read(page)).map((code) => ({ page, code })));
    const wrong = runs.flatMap(({ page, code }) => {
      const parts = /node scripts\/test\.mjs ([^#;&]*)/.exec(code)?.[1]?.trim().split(/\s+/) ?? [];
      const script = /^(?:\w+=\S+ )*npm run (?:-s )?([\w:]+)/.exec(code)?.[1];
      return [
        ...parts.filter((part) => !tests.some((path) => relative('test', path).includes(part))),
        ...(script === undefined || scripts.includes(script) || page.includes('programs.md') ? [] : [script]),
      ].map((what) => `${page}: ${what}`);
    });
    assert.deepEqual(wrong, []);
  });

  test('commands of motya in the documents exist, and have the flags that are shown', () => {
    const lines = pages.flatMap((page) => codeOf(read(page)).map((code) => ({ page, code })));
    const shown = lines.flatMap(({ page, code }) => {
      const [, typed] = /(?:^|[ /"=])motya ((?:[a-z]+ ?).*)/.exec(code.split('#')[0] as string) ?? [];
      return typed === undefined ? [] : [{ page, words: (typed.split(' -- ')[0] as string).split(/[\s,"\]]+/) }];
    });
    assert.ok(shown.length > 50);
    const wrong = shown.flatMap(({ page, words }) => {
      const command = commands.find(({ name }) => name === words[0]);
      if (command === undefined) return [`${page}: motya ${words[0]}`];
      const inner: Command = command.subcommands?.find(({ name }) => name === words[1]) ?? command;
      const flags = words.filter((word) => /^--[a-z]/.test(word)).map((word) => word.slice(2).split('=')[0] as string);
      const known = [...Object.keys(inner.flags ?? {}), 'help', 'version'];
      return flags
        .filter((flag) => !known.includes(flag.replace(/^no-/, '')) && flag !== 'no-color')
        .map((flag) => `${page}: motya ${words[0]} --${flag}`);
    });
    assert.deepEqual(wrong, []);
  });
});
