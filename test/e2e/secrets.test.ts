import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { adminSocket, look } from '../status/admin/support.js';
import { childrenOf, placesIn, until } from './harness/index.js';
import { get, program, type Scene, scene } from './scene.js';

/** Where a secret can be given, and how a program says that it has it. */
const SECRETS = { environment: 'hunter2-environment', settings: 'hunter2-settings', arguments: 'hunter2-arguments' };

const KNOWS = `
const { createHash } = require('node:crypto');
const secrets = [process.env.API_KEY, process.env.PASSWORD, process.argv[3]];
process.argv.splice(2);
process.env.APP_VERSION = createHash('sha256').update(secrets.join()).digest('hex');`;
const broken = 'throw new Error("broken on purpose");';

async function sceneWithSecrets(test: TestContext): Promise<Scene> {
  const stage = await scene(test, '', program('', '').replace('process.env.APP_VERSION = "";', KNOWS));
  stage.space.write(
    'motya.yaml',
    `name: app
services:
  web:
    script: server.cjs
    args: ['--token', ${SECRETS.arguments}]
    env: { PASSWORD: ${SECRETS.settings} }
log: { level: debug }
`,
  );
  return stage;
}

describe('secrets of the environment, of settings and of arguments', () => {
  for (const where of ['stderr', 'a log file']) {
    it(`are in no output, at level debug, whatever happens; with the log in ${where}`, async (test) => {
      const stage = await sceneWithSecrets(test);
      const { space } = stage;
      const env = { API_KEY: SECRETS.environment, PORT: String(stage.port) };
      const file = space.path('app.log');
      const log = where === 'stderr' ? [] : ['--log-file', file];
      const said: Record<string, string> = {};
      const run = async (...args: string[]) => {
        const { code, stdout, stderr } = await space.run(args, { env });
        said[`${args.join(' ')} ${Object.keys(said).length}`] = stdout + stderr;
        return { code, text: stdout + stderr };
      };
      const lookAround = async () => {
        assert.equal((await run('status')).code, 0);
        assert.equal((await run('status', '--json')).code, 0);
        for (const path of ['/status.json', '/metrics', '/readyz', '/']) {
          said[`${path} ${Object.keys(said).length}`] = (await look(adminSocket(stage), path)).body;
        }
      };

      assert.equal((await run('check')).code, 0);
      const first = space.motya(['start', ...log], { env });
      await until(() => get(stage.port).catch(() => false), { what: 'an answer', instead: () => first.describe() });
      const version = createHash('sha256').update(Object.values(SECRETS).join()).digest('hex');
      assert.equal((await stage.who()).version, version);
      await lookAround();
      const [worker = 0] = childrenOf(first.pid);
      process.kill(worker, 'SIGKILL');
      await until(async () => (await stage.who().catch(() => null))?.pid !== worker, { what: 'the next worker' });

      const source = readFileSync(stage.script, 'utf8');
      space.write('server.cjs', broken);
      const rejected = await run('upgrade', '--name', 'app');
      assert.deepEqual([rejected.code, /broken on purpose/.test(rejected.text)], [3, true]);
      await lookAround();
      space.write('server.cjs', source);
      assert.equal((await run('upgrade', '--json', '--name', 'app')).code, 0);
      await lookAround();
      assert.equal((await stage.who()).version, version);
      assert.equal((await run('stop')).code, 0);
      await space.nothingLeft();

      said.stdout = first.stdout;
      said.stderr = first.stderr;
      said.log = existsSync(file) ? readFileSync(file, 'utf8') : said.stderr;
      assert.ok(said.log.includes('"level":"debug"'));
      const found = Object.entries(said).filter(([, text]) => text.includes('hunter2'));
      assert.deepEqual(found, []);
    });
  }

  it('are not in what check --print says, unless it is asked for them', async (test) => {
    const { space } = await sceneWithSecrets(test);
    const printed = async (...args: string[]) => {
      const { services } = JSON.parse((await space.run(['check', '--print', ...args])).stdout) as {
        services: { env: Record<string, string> }[];
      };
      return services[0]?.env;
    };
    assert.deepEqual(await printed(), { PASSWORD: '(hidden: --show-secrets)' });
    assert.deepEqual(await printed('--show-secrets'), { PASSWORD: SECRETS.settings });
  });

  it('are not in what is said of settings that are wrong', async (test) => {
    const { space } = await sceneWithSecrets(test);
    const settings = (env: string) =>
      space.write('motya.yaml', `services: { web: { script: server.cjs, env: ${env} } }`);
    for (const env of [
      SECRETS.settings,
      `"A=${SECRETS.settings}"`,
      `{ A: "${SECRETS.settings}\\0" }`,
      `{ A: [${SECRETS.settings}] }`,
    ]) {
      settings(env);
      for (const command of ['check', 'start']) {
        const { code, stderr } = await space.run([command]);
        assert.equal(code, 2);
        const [place, ...more] = placesIn(stderr);
        assert.deepEqual([place?.file, place?.line, more], ['motya.yaml', 1, []], stderr);
        assert.ok(place?.key.startsWith('services.web.env'), stderr);
        assert.ok(!stderr.includes('hunter2'), stderr);
      }
    }
  });
});
