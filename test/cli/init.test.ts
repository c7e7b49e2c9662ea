import assert from 'node:assert/strict';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { nameOf } from '#src/cli/init/guess.js';
import { settingsJsonSchema } from '#src/config/settings-schema.js';
import { codeOf, workspace } from '../e2e/harness/index.js';

/** A bare # before a setting; "# " begins text. */
const uncommented = (text: string): string => text.replace(/^(\s*)#(?=\S| {2})/gm, '$1');

describe('motya init', () => {
  test('writes settings that are valid as they are, and with every comment taken away', async (test) => {
    const space = workspace(test);
    space.write('server.js', '');
    space.write('package.json', '{"name": "@acme/shop", "main": "server.js"}');
    const { code, stdout, stderr } = await space.run(['init']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.equal(
      stdout,
      'motya.yaml runs server.js: npm start runs it when package.json has no start script\nnext: motya check, then motya start\n',
    );
    const check = await space.run(['check']);
    assert.deepEqual([check.code, check.stdout], [0, 'motya.yaml is valid: 1 service: server (1 worker)\n']);

    const text = readFileSync(space.path('motya.yaml'), 'utf8');
    assert.match(text, /^name: shop$/m);
    space.write('all.yaml', uncommented(text));
    const all = await space.run(['check', '--config', 'all.yaml', '--print']);
    assert.deepEqual([all.code, all.stderr], [0, '']);
    const settings = JSON.parse(all.stdout) as { name: string; log: { file: string }; services: { args: string[] }[] };
    assert.deepEqual([settings.name, settings.log.file], ['shop', space.path('motya.log')]);
    assert.deepEqual(settings.services[0]?.args, ['--verbose']);
  });

  test('shows every default of the schema, with its description', async (test) => {
    const space = workspace(test);
    space.write('server.js', '');
    assert.equal((await space.run(['init'])).code, 0);
    const text = readFileSync(space.path('motya.yaml'), 'utf8');
    interface Schema {
      readonly properties: Record<
        string,
        { description?: string; default?: unknown; properties?: Schema['properties'] }
      >;
    }
    const { properties } = settingsJsonSchema() as unknown as Schema;
    for (const [key, { description, default: given, properties: inner }] of Object.entries(properties)) {
      if (given === undefined || inner !== undefined) continue;
      assert.ok(text.includes(`# ${description}\n#${key}: ${given}\n`), key);
    }
    for (const [key, { default: given }] of Object.entries(properties.log?.properties ?? {})) {
      if (given !== undefined && !Array.isArray(given))
        assert.match(text, new RegExp(`^# log\\.${key}: .*$[^]*^#  ${key}: ${given}$`, 'm'));
    }
  });

  test('replaces nothing without --force', async (test) => {
    const space = workspace(test);
    space.write('server.js', '');
    space.write('motya.yaml', 'mine');
    const refused = await space.run(['init']);
    assert.deepEqual([refused.code, refused.stdout], [1, '']);
    assert.equal(codeOf(refused.stderr), 'ERR_MOTYA_FILE_EXISTS');
    assert.ok(refused.stderr.includes(` ${space.path('motya.yaml')} `), refused.stderr);
    assert.equal(readFileSync(space.path('motya.yaml'), 'utf8'), 'mine');
    // A link that leads nowhere yet is something that is there, too.
    symlinkSync('elsewhere', space.path('link.yaml'));
    assert.equal((await space.run(['init', '--output', 'link.yaml'])).code, 1);
    assert.ok(!existsSync(space.path('elsewhere')));
    assert.equal((await space.run(['init', '--force'])).code, 0);
    assert.match(readFileSync(space.path('motya.yaml'), 'utf8'), /^name: motya-/m);
  });

  test('writes the script relative to the file, wherever that is', async (test) => {
    const space = workspace(test);
    space.write('app/src/main.mjs', '');
    space.write('etc/x', '');
    assert.equal((await space.run(['init', 'app/src/main.mjs', '--output', 'etc/shop.yaml'])).code, 0);
    assert.match(readFileSync(space.path('etc/shop.yaml'), 'utf8'), /^ {4}script: \.\.\/app\/src\/main\.mjs$/m);
    assert.equal((await space.run(['check', '--config', 'etc/shop.yaml'])).code, 0);
  });

  test('what cannot be is one line, and nothing is written', async (test) => {
    const space = workspace(test);
    const cases: [args: string[], status: number, code: string, named: string][] = [
      [['init'], 2, 'ERR_MOTYA_SETTINGS', `${space.dir}: `],
      [['init', 'gone.js'], 2, 'ERR_MOTYA_SETTINGS', 'gone.js: '],
      [['init', 'there.js', '--output', 'no/such/motya.yaml'], 1, 'ERR_MOTYA_WRITE_FAILED', space.path('no/such')],
      [['init', 'there.js', '--output', 'there.js/motya.yaml'], 1, 'ERR_MOTYA_WRITE_FAILED', space.path('there.js')],
      [['init', 'there.js', '--force', '--output', 'directory'], 1, 'ERR_MOTYA_WRITE_FAILED', space.path('directory')],
      [['init', 'there.js', '--output', 'directory'], 1, 'ERR_MOTYA_WRITE_FAILED', space.path('directory')],
      [['init', 'there.js', '--output', ''], 2, 'ERR_MOTYA_SETTINGS', '--output: '],
    ];
    space.write('there.js', '');
    space.write('directory/x', '');
    for (const [args, status, failure, named] of cases) {
      const { code, stdout, stderr } = await space.run(args);
      assert.deepEqual([code, stdout, codeOf(stderr)], [status, '', failure], args.join(' '));
      assert.ok(stderr.includes(named) && stderr.trimEnd().split('\n').length === 1, stderr);
    }
    assert.ok(!existsSync(space.path('motya.yaml')));
  });
});

describe('the guess of the name', () => {
  test('the name is the package, else the directory, fit for a file name', (test) => {
    const space = workspace(test);
    assert.match(nameOf(space.dir), /^motya-/);
    space.write('package.json', '{"name": "@acme/my.shop"}');
    assert.equal(nameOf(space.dir), 'my.shop');
    space.write('package.json', '{"name": "../../etc"}');
    assert.equal(nameOf(space.dir), 'etc');
  });
});
