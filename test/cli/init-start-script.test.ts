import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { guessProgram, namedProgram } from '#src/cli/init/guess.js';
import type { Program } from '#src/cli/init/program.js';
import { loadSettings } from '#src/config/load.js';
import { freePort, until, type Workspace, workspace } from '../e2e/harness/index.js';

const NODE = '#!/usr/bin/env node\n';
/** Tells how it was started. */
const ECHO = `require('node:http').createServer((_, response) => response.end(JSON.stringify({
  args: process.argv.slice(2), greet: process.env.GREET, cwd: process.cwd(), preloaded: globalThis.preloaded,
}))).listen(process.env.PORT);\n`;

/** A package with a program, as npm installs it; `pnpm` puts a script for sh(1) where npm makes a link. */
function install(space: Workspace, at: string, name: string, text: string, by: 'npm' | 'pnpm' = 'npm'): void {
  const modules = `${at === '' ? '' : `${at}/`}node_modules`;
  space.write(`${modules}/${name}/package.json`, JSON.stringify({ name, bin: { [name]: 'bin/run.js' } }));
  executable(space, `${modules}/${name}/bin/run.js`, text);
  const bin = `${modules}/.bin/${name}`;
  if (by === 'pnpm') {
    executable(space, bin, `#!/bin/sh\nexec node "$basedir/../${name}/bin/run.js" "$@"\n`);
  } else {
    mkdirSync(space.path(modules, '.bin'), { recursive: true });
    symlinkSync(`../${name}/bin/run.js`, space.path(bin));
  }
}

function executable(space: Workspace, file: string, text: string): void {
  chmodSync(space.write(file, text), 0o755);
}

/** tsx, as far as `node --import tsx` goes: it loads files that end with .ts. */
const TSX = `import { register } from 'node:module';
globalThis.preloaded = 'tsx';
register('data:text/javascript,' + encodeURIComponent(\`import { readFileSync } from 'node:fs';
export const load = (url, context, next) => !url.endsWith('.ts') ? next(url, context)
  : { format: 'module', shortCircuit: true, source: readFileSync(new URL(url), 'utf8') };\`));\n`;

function installTsx(space: Workspace, at = ''): void {
  install(space, at, 'tsx', NODE);
  const directory = `${at === '' ? '' : `${at}/`}node_modules/tsx`;
  space.write(`${directory}/loader.mjs`, TSX);
  space.write(`${directory}/package.json`, '{"name": "tsx", "exports": "./loader.mjs", "bin": "bin/run.js"}');
}

/** A directory with something for every start script below. */
function project(space: Workspace, scripts: Record<string, string>, more: object = {}): void {
  space.write('package.json', JSON.stringify({ name: 'shop', main: 'lib/main.js', scripts, ...more }));
  for (const file of ['server.js', 'app.js', 'app.ts', 'lib/main.js', 'dist/main.js', 'api/run.js']) {
    if (!existsSync(space.path(file))) space.write(file, '');
  }
}

describe('the start script that motya init reads', () => {
  const empty: Omit<Program, 'service' | 'script'> = { args: [], nodeArgs: [], env: {}, cwd: '', workers: null };

  test('is taken with its variables, options of node and arguments, through what starts programs', (test) => {
    const space = workspace(test);
    for (const name of ['web', 'ts-node', 'dotenv', 'env-cmd', 'cross-env', 'nodemon', 'pm2'])
      install(space, '', name, NODE);
    install(space, '', 'shim', NODE, 'pnpm');
    // Another package may have the same name for a program: the link counts.
    symlinkSync('../web/bin/run.js', space.path('node_modules/.bin/served'));
    installTsx(space);
    executable(space, 'bin/www', '#!/usr/bin/env -S node --no-warnings\n');
    const app = { ...empty, service: 'app', script: 'app.js' };
    const web = { ...empty, service: 'web', script: 'node_modules/web/bin/run.js' };
    const cases: [string, Partial<Program> & { script: string; service: string }][] = [
      ['node app.js', app],
      ['node app.js --port 80 -x', { ...app, args: ['--port', '80', '-x'] }],
      ['node -- app.js', app],
      ['NODE_ENV=production PORT=8080 node app.js', { ...app, env: { NODE_ENV: 'production', PORT: '8080' } }],
      [
        `A='b c' B="d \\"e\\"" C= node app.js 'f g' h\\ i ''`,
        { ...app, env: { A: 'b c', B: 'd "e"', C: '' }, args: ['f g', 'h i', ''] },
      ],
      ['cross-env A=1 B=2 node app.js', { ...app, env: { A: '1', B: '2' } }],
      ['/usr/bin/env A=1 node app.js', { ...app, env: { A: '1' } }],
      ['exec node app.js', app],
      ['node --max-old-space-size=4096 app.js', { ...app, nodeArgs: ['--max-old-space-size=4096'] }],
      [
        'node -r dotenv/config --env-file .env --import=tsx --enable-source-maps app.js -r',
        {
          ...app,
          nodeArgs: ['-r', 'dotenv/config', '--env-file', '.env', '--import=tsx', '--enable-source-maps'],
          args: ['-r'],
        },
      ],
      ['node --import tsx app.ts', { ...app, script: 'app.ts', nodeArgs: ['--import', 'tsx'] }],
      ['node -r ts-node/register app.ts', { ...app, script: 'app.ts', nodeArgs: ['-r', 'ts-node/register'] }],
      ['node .', { ...empty, service: 'main', script: 'lib/main.js' }],
      ['node dist/main', { ...empty, service: 'main', script: 'dist/main' }],
      ['node --watch-path=lib --watch app.js', app],
      ['tsx app.ts --port 80', { ...app, script: 'app.ts', nodeArgs: ['--import', 'tsx'], args: ['--port', '80'] }],
      [
        'tsx watch --tsconfig tsconfig.prod.json -r ./pre.cjs app.ts',
        {
          ...app,
          script: 'app.ts',
          nodeArgs: ['--import', 'tsx', '-r', './pre.cjs'],
          env: { TSX_TSCONFIG_PATH: 'tsconfig.prod.json' },
        },
      ],
      [
        'tsx watch --clear-screen=false --include ./lib --exclude lib/x --ignore=y --no-clear-screen --no-warnings app.ts 80',
        { ...app, script: 'app.ts', nodeArgs: ['--import', 'tsx', '--no-warnings'], args: ['80'] },
      ],
      [
        'tsx watch --no-cache --clear-screen=false --include ./lib app.ts',
        { ...empty, service: 'tsx', script: 'node_modules/tsx/bin/run.js', args: ['--no-cache', 'app.ts'] },
      ],
      ['set -e; A=1; export A B=2; node app.js', { ...app, env: { A: '1', B: '2' } }],
      ['export A; A=1; node app.js', { ...app, env: { A: '1' } }],
      ['export A=1; A=2; set -ea; B=1; set +a; C=1; node app.js', { ...app, env: { A: '2', B: '1' } }],
      ['set -o allexport; A=1 && node app.js', { ...app, env: { A: '1' } }],
      ['A=1; npm run prod', { ...app, args: ['--port', '1'] }],
      [
        'tsx --no-cache app.ts',
        { ...empty, service: 'tsx', script: 'node_modules/tsx/bin/run.js', args: ['--no-cache', 'app.ts'] },
      ],
      [
        'ts-node -T app.ts',
        { ...empty, service: 'ts-node', script: 'node_modules/ts-node/bin/run.js', args: ['-T', 'app.ts'] },
      ],
      ['web start -p 3000', { ...web, args: ['start', '-p', '3000'] }],
      ['./node_modules/.bin/web', web],
      ['served', { ...web, service: 'served' }],
      ['npx --no-install web -p 80', { ...web, args: ['-p', '80'] }],
      ['npm exec -- web -p 80', { ...web, args: ['-p', '80'] }],
      ['yarn web --silent', { ...web, args: ['--silent'] }],
      ['shim', { ...empty, service: 'shim', script: 'node_modules/shim/bin/run.js' }],
      ['./bin/www 80', { ...empty, service: 'www', script: 'bin/www', nodeArgs: ['--no-warnings'], args: ['80'] }],
      ['npm run prod', { ...app, args: ['--port', '1'] }],
      ['npm run prod --silent -- --x', { ...app, args: ['--port', '1', '--x'] }],
      ['A=1 yarn run prod -- --x', { ...app, env: { A: '1' }, args: ['--port', '1', '--x'] }],
      ['pnpm prod --x', { ...app, args: ['--port', '1', '--x'] }],
      ['node --run prod', { ...app, args: ['--port', '1'] }],
      ['npm --prefix api start', { ...empty, service: 'run', script: 'api/run.js', cwd: 'api' }],
      [
        'cd api && export A=1 && node run.js',
        { ...empty, service: 'run', script: 'api/run.js', cwd: 'api', env: { A: '1' } },
      ],
      ['npm run build && node app.js;', app],
      ['nodemon --watch lib -e js,ts app.js 80', { ...app, args: ['80'] }],
      [
        'nodemon --exec "tsc && A=1 node -r ./pre.js" app.js',
        { ...app, nodeArgs: ['-r', './pre.js'], env: { A: '1' } },
      ],
      [
        'pm2 start app.js -i max --name api --node-args="--no-warnings" -- 80',
        { ...app, workers: 'auto', nodeArgs: ['--no-warnings'], args: ['80'] },
      ],
      ['pm2-runtime app.js --instances=3', { ...app, workers: 3 }],
      ['pm2 start npm -- run prod', { ...app, args: ['--port', '1'] }],
      ['forever start -l forever.log app.js 80', { ...app, args: ['80'] }],
      [
        'dotenv -e .env -- web -p 80',
        {
          ...empty,
          service: 'dotenv',
          script: 'node_modules/dotenv/bin/run.js',
          args: ['-e', '.env', '--', 'node_modules/.bin/web', '-p', '80'],
        },
      ],
      [
        'env-cmd -f .env node app.js',
        {
          ...empty,
          service: 'env-cmd',
          script: 'node_modules/env-cmd/bin/run.js',
          args: ['-f', '.env', 'node', 'app.js'],
        },
      ],
      ['nest start', { ...empty, service: 'main', script: 'dist/main.js', nodeArgs: ['--enable-source-maps'] }],
    ];
    space.write('api/package.json', '{"scripts": {"start": "node run.js"}}');
    for (const [start, program] of cases) {
      project(space, { start, prod: 'node app.js --port 1' });
      assert.deepEqual(guessProgram(space.dir).program, { ...empty, ...program }, start);
    }
  });

  test('names what Motya does not run: hooks, what comes before the program, what only restarts it', (test) => {
    const space = workspace(test);
    project(space, {
      prestart: 'npm run build',
      start: 'prisma migrate deploy && npm run prod',
      preprod: 'rm -rf cache',
      prod: 'nodemon app.js',
      postprod: 'echo done',
    });
    const { origin, notes } = guessProgram(space.dir);
    assert.match(origin ?? '', /^from the start script of package\.json \(.*&& npm run prod → nodemon app\.js\)$/);
    for (const [index, word] of [
      'prestart (npm run build)',
      'prisma migrate deploy',
      'preprod (rm -rf cache)',
    ].entries()) {
      assert.ok(notes[0]?.includes(word), `${index}: ${notes[0]}`);
    }
    assert.ok(notes.some((note) => note.includes('postprod (echo done)')));
    assert.ok(notes.some((note) => note.startsWith('nodemon is left out')));
    project(space, { start: 'set -e; PORT=80; A=1 B=2; export B; node app.js' });
    assert.deepEqual(guessProgram(space.dir).notes, ['not exported, so the program does not find it: PORT, A']);
    project(space, { start: 'set -eu && node app.js' });
    assert.deepEqual(guessProgram(space.dir).notes, []);
    project(space, { start: 'pm2 start app.js --name api --time' });
    assert.ok(guessProgram(space.dir).notes.some((note) => note.includes('--name api --time')));
  });

  test('is refused in one line where it cannot be taken, and no other file is taken instead', async (test) => {
    const space = workspace(test);
    for (const name of ['web', 'nodemon', 'cross-env']) install(space, '', name, NODE);
    executable(space, 'start.sh', '#!/bin/sh\nnode app.js\n');
    executable(space, 'binary', '\x7fELF');
    space.write('ecosystem.config.js', '');
    const cases: [string, RegExp][] = [
      ['node app.js | pino-pretty', /a pipe \(\|\)/],
      ['node app.js > log 2>&1', /a redirection \(>\)/],
      ['node app.js &', /in the background \(&\)/],
      ['node setup.js & node app.js', /in the background \(&\)/],
      ['node app.js || exit 1', /an alternative \(\|\|\)/],
      ['web -p $PORT', /a shell variable \(\$PORT\)/],
      [`web -p "\${PORT:-3000}"`, /a shell variable \(\$\{PORT:-3000\}\)/],
      ['web $(cat port)', /the output of a command/],
      ['web `cat port`', /the output of a command/],
      ['(cd api; node run.js)', /a subshell/],
      ['node *.js', /a file name pattern/],
      ['node ~/app.js', /the home directory/],
      ['A=~/x node app.js', /the home directory/],
      ['node {a,b}.js', /a group/],
      ['node app.js # now', /a comment/],
      [`node "app.js`, /a quote that does not end/],
      ['cross-env "A=\\$B" node app.js', /only cross-env understands/],
      ['cross-env A=1', /starts no program/],
      ['A=1', /runs no program/],
      ['node app.js &&', /no command after &&/],
      ['npm run build; && node app.js', /no command before &&/],
      ['node', /standard input/],
      ['node -e 1', /node -e runs no program of a file/],
      ['node --test', /node --test/],
      ['node gone.js', /gone\.js is not there; build it first/],
      ['node api', /api is a directory without a main file/],
      ['next start', /next is not in node_modules\/\.bin, and not in PATH; npm install/],
      ['npx -p next next start', /npx -p is not known here/],
      ['./start.sh', /\.\/start\.sh is a script for sh, no Node program/],
      ['./binary', /\.\/binary is no Node program/],
      ['./gone', /\.\/gone is not there/],
      ['cat app.js', /cat is no Node program/],
      ['npm run start', /the script "start" runs itself/],
      ['npm run gone', /no script "gone"/],
      ['npm install', /npm install runs no script/],
      ['npm run start --workspace=api', /npm --workspace=api .*; run motya init in that workspace's directory/],
      ['yarn workspace api start', /yarn workspace .*; run motya init in that workspace's directory/],
      ['pnpm --filter api start', /pnpm --filter api /],
      ['npm run a --shell', /npm --shell is not known here/],
      ['concurrently "npm:a" "npm:b"', /concurrently starts other programs/],
      ['pm2 start ecosystem.config.js', /is a settings file of pm2/],
      ['pm2 start app.js server.js', /several programs \(app\.js, server\.js\)/],
      ['pm2 reload app', /pm2 reload starts no program/],
      ['pm2 start app.js -i -1', /-i -1 is not known here/],
      ['pm2 start app.js -i 2.5', /-i 2\.5 is not known here/],
      ['pm2 start app.js -i ""', /-i {2}is not known here/],
      ['nest start', /dist\/main\.js, which is not there; run nest build first/],
      ['nest start api', /nest start api builds a program and runs it/],
      ['npx motya start app.js', /starts Motya itself/],
      ['node "gone\n\u001b[2Jx"', /gone \ufffd\[2Jx is not there/],
      ['cd gone && node app.js', /gone is not a directory/],
    ];
    space.write('api/x', '');
    for (const [start, reason] of cases) {
      for (const file of ['server.js', 'app.js', 'lib/main.js']) space.write(file, '');
      space.write('package.json', JSON.stringify({ main: 'lib/main.js', scripts: { start } }));
      const refused = (error: Error) => {
        assert.match(error.message, reason);
        assert.match(error.message, /^[^\n]+$/, 'one line');
        assert.ok(error.message.startsWith('the start script of package.json ('), error.message);
        return error.message.includes('; ');
      };
      assert.throws(() => guessProgram(space.dir), refused, start);
    }
    space.write(
      'package.json',
      '{"scripts": {"start": "nodemon app.js"}, "nodemonConfig": {"ext": "js", "exec": "x"}}',
    );
    assert.throws(() => guessProgram(space.dir), { message: /nodemon has settings of its own \(exec\)/ });
    const { code, stdout, stderr } = await space.run(['init']);
    assert.deepEqual([code, stdout, stderr.split('\n').length], [2, '', 2]);
    assert.ok(!existsSync(space.path('motya.yaml')));
  });

  test('its line breaks stay in the values of motya.yaml, and long texts are cut in what is said', async (test) => {
    const space = workspace(test);
    const text = `1\nname: other\n${'x'.repeat(2000)}\n`;
    space.write('a\nb/app.js', '');
    const start = `cd 'a\nb' && A='${text}' pm2-runtime app.js --name '${text}' -- '${text}'`;
    space.write('package.json', JSON.stringify({ name: 'shop', scripts: { start } }));
    const { code, stdout, stderr } = await space.run(['init']);
    assert.deepEqual([code, stderr], [0, '']);
    assert.ok(stdout.length < 3000 && stdout.split('\n').length === 4, stdout);
    const { name, services } = loadSettings({ flags: {}, env: space.env, cwd: space.dir });
    const [service] = services;
    assert.deepEqual([name, service?.args, service?.env.A], ['shop', [text], text]);
    assert.deepEqual([service?.script, service?.cwd], [space.path('a\nb/app.js'), space.path('a\nb')]);
  });

  test('a package.json that is no JSON is one line with the place', async (test) => {
    const space = workspace(test);
    space.write('server.js', '');
    const cases: [string, string][] = [
      ['{\n  "name": "x",\n}', '3:1'],
      ['{\n  "name": oops\n}', '2:11'],
      [`{\n  "name": "x"${' '.repeat(50)},\n  "scripts": { "start": tru }\n}`, '3:28'],
      ['{"a": 1 "b"}', '1:9'],
      ['{\n  "a": "b', '2:10'],
      ['{ "a": [1', '1:10'],
      ['', '1:1'],
      ['<<<<<<< HEAD\n{}', '1:1'],
    ];
    for (const [text, place] of cases) {
      space.write('package.json', text);
      assert.throws(
        () => guessProgram(space.dir),
        { message: new RegExp(`^${space.path('package.json')}:${place}: [^\n]+$`) },
        text,
      );
    }
    assert.deepEqual(await space.run(['init']).then(({ code, stdout }) => [code, stdout]), [2, '']);
    for (const text of ['[]', '{"scripts": []}', '{"scripts": {"start": 5}}']) {
      space.write('package.json', text);
      assert.throws(
        () => guessProgram(space.dir),
        { message: /^\S+package\.json: [^\n]+ must be \w+ \w+$|must be an object$/ },
        text,
      );
    }
    space.write('package.json', '\uFEFF{"scripts": {"start": ""}}');
    assert.equal(guessProgram(space.dir).program.script, 'server.js');
  });

  test('without one npm starts server.js; then the main file and the usual names; workspaces are pointed to', (test) => {
    const space = workspace(test);
    space.write('package.json', '{"workspaces": ["packages/*"]}');
    assert.throws(() => guessProgram(space.dir), { message: /in the directory of a workspace$/ });
    space.write('package.json', '{"main": "lib"}');
    assert.throws(() => guessProgram(space.dir), {
      message: /^no program found in \S+: .*; name it: motya init PROGRAM$/,
    });
    space.write('lib/index.js', '');
    space.write('app.js', '');
    const guess = guessProgram(space.dir);
    assert.deepEqual([guess.program.script, guess.origin?.includes('its main')], ['lib/index.js', true]);
    space.write('server.js', '');
    assert.equal(guessProgram(space.dir).program.script, 'server.js');
    // The programs of a workspace lie in the node_modules of the root, too.
    install(space, '', 'web', NODE);
    space.write('packages/api/package.json', '{"scripts": {"start": "web"}}');
    assert.equal(guessProgram(space.path('packages/api')).program.script, '../../node_modules/web/bin/run.js');
  });

  test('a program of node_modules/.bin can be named instead', (test) => {
    const space = workspace(test);
    install(space, '', 'web', NODE);
    const { program, origin } = namedProgram(space.dir, 'web', ['-p', '80']);
    assert.deepEqual([program.script, program.args, origin], ['node_modules/web/bin/run.js', ['-p', '80'], null]);
    space.write('lib/package.json', '{"main": "x.js"}');
    space.write('lib/x.js', '');
    assert.equal(namedProgram(space.dir, './lib').program.script, 'lib/x.js');
    space.write('web', '');
    assert.equal(namedProgram(space.dir, 'web').program.script, 'web');
  });
});

describe('what motya init writes', { concurrency: 3 }, () => {
  /** A start script, what else its directory needs, and what the program says of itself then. */
  interface Kind {
    readonly start: string;
    readonly more?: Readonly<Record<string, string>>;
    readonly type?: string;
    readonly says: {
      readonly args?: string[];
      readonly greet?: string;
      readonly cwd?: string;
      readonly preloaded?: string;
    };
    readonly workers?: number;
  }
  const esm = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);\n${ECHO}`;
  const pre = "globalThis.preloaded = 'pre';\n";
  const kinds: Readonly<Record<string, Kind>> = {
    flags: {
      start: "GREET='a b' node -r ./pre.js --env-file .env server.js --name x",
      more: { 'server.js': ECHO, 'pre.js': pre, '.env': 'GREET=other\n' },
      says: { args: ['--name', 'x'], greet: 'a b', preloaded: 'pre' },
    },
    chain: {
      start: 'cross-env GREET=hi npm run prod -- --x',
      more: { 'dist/server.js': ECHO, 'dist/pre.js': pre },
      says: { args: ['--x'], greet: 'hi', cwd: 'dist', preloaded: 'pre' },
    },
    tsx: {
      start: 'tsx server.ts 1',
      more: { 'server.ts': esm },
      type: 'module',
      says: { args: ['1'], preloaded: 'tsx' },
    },
    bin: { start: 'npx web start', says: { args: ['start'] } },
    shim: { start: 'shim', says: {} },
    wrapper: { start: 'dotenv -e .env -- web start', says: { args: ['start'], greet: 'wrapped' } },
    pm2: { start: 'pm2 start server.js -i 2 -- x', more: { 'server.js': ECHO }, says: { args: ['x'] }, workers: 2 },
    nest: { start: 'nest start', more: { 'dist/main.js': esm }, type: 'module', says: {} },
    dot: { start: 'node .', more: { 'lib/index.js': ECHO }, says: {} },
  };
  const wrapper = `${NODE}const [, , , , , command, ...args] = process.argv;
require('node:child_process').spawn(command, args, { stdio: 'inherit', env: { ...process.env, GREET: 'wrapped' } });\n`;

  for (const [name, { start, more = {}, type = 'commonjs', says, workers = 1 }] of Object.entries(kinds)) {
    test(`starts: ${start}`, async (test) => {
      const space = workspace(test);
      const port = String(await freePort());
      for (const [file, text] of Object.entries({ 'x/server.js': 'process.exit(9)', ...more }))
        space.write(`app/${file}`, text);
      install(space, 'app', 'web', `${NODE}${ECHO}`);
      install(space, 'app', 'shim', `${NODE}${ECHO}`, 'pnpm');
      install(space, 'app', 'dotenv', wrapper);
      if (name === 'tsx') installTsx(space, 'app');
      const scripts = { start, prod: 'cd dist && node -r ./pre.js server' };
      space.write('app/package.json', JSON.stringify({ name, type, main: 'lib/index.js', scripts }));
      const cwd = space.path('app');
      const init = await space.run(['init'], { cwd });
      assert.deepEqual([init.code, init.stderr], [0, '']);
      assert.ok(init.stdout.startsWith('motya.yaml runs ') && init.stdout.includes(start), init.stdout);
      const { services } = loadSettings({ flags: {}, env: space.env, cwd });
      assert.deepEqual(
        services.map((service) => service.workers),
        [workers],
      );
      const instance = space.motya(['start'], { cwd, env: { PORT: port } });
      const answer = async () => {
        assert.equal(instance.exit, undefined, instance.stderr);
        return fetch(`http://127.0.0.1:${port}/`).then(
          (response) => response.json(),
          () => null,
        );
      };
      const said = (await until(answer, { what: 'an answer' })) as Record<string, unknown>;
      const expected = { args: [], ...says, cwd: space.path('app', says.cwd ?? '.') };
      assert.deepEqual(said, { ...expected }, start);
      process.kill(instance.pid, 'SIGTERM');
      assert.equal((await instance.waitForExit()).code, 0);
    });
  }

  test('elsewhere has the working directory of the program, and an absolute path stays one', async (test) => {
    const space = workspace(test);
    executable(space, 'tools/global', NODE);
    space.write('etc/x', '');
    space.write('package.json', '{"scripts": {"start": "global -r ./x"}}');
    const env = { PATH: `${space.path('tools')}:${dirname(process.execPath)}:${process.env.PATH}` };
    const init = await space.run(['init', '--output', 'etc/shop.yaml'], { env });
    assert.deepEqual([init.code, init.stderr], [0, '']);
    const { stdout } = await space.run(['check', '--config', 'etc/shop.yaml', '--print']);
    const [service] = (JSON.parse(stdout) as { services: { script: string; cwd: string; name: string }[] }).services;
    assert.deepEqual([service?.script, service?.cwd, service?.name], [space.path('tools/global'), space.dir, 'global']);
  });
});
