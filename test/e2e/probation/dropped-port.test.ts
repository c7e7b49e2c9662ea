import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort, type Result } from '../harness/index.js';
import { isRefused, rolledBack, type Scene, scene } from '../scene.js';
import { answerOn, program } from './opens-when-asked.js';

// No client comes to the dropped port in any of these probations: what tells is the settings.

/** The release listens on another port than PORT. */
const moved = (port: number): string => program('two').replace('Number(process.env.PORT)', String(port));

const deploy = (stage: Scene, source: string, ...flags: string[]): Promise<Result> => {
  stage.space.write('server.cjs', source);
  return stage.upgrade('--json', ...flags);
};

async function startWith({ space, port }: Scene, config: string): Promise<void> {
  const child = space.motya(['start', '--name', 'app', '--config', config, '--probation', '300ms'], {
    env: { PORT: String(port) },
  });
  await child.waitFor('serving');
}

const isInUse = (result: Result): void => assert.equal(rolledBack(result).cause, 'ERR_MOTYA_REMOVED_IN_USE');

test('a release without the port on which health.path was asked: rolled back, unless that is allowed', async (t) => {
  const stage = await scene(t, '', program('one'));
  await stage.first(['--probation', '300ms', '--health-path', '/']);
  const other = await freePort();
  isInUse(await deploy(stage, moved(other)));
  assert.equal(await answerOn(`tcp=${stage.port}`), 'one');
  const { code, stdout } = await deploy(stage, moved(other), '--allow-removed');
  assert.equal(code, 0, stdout);
  assert.equal(await answerOn(`tcp=${other}`), 'two');
  assert.equal(await isRefused(stage.port), true);
});

test('a port that is not asked for health may go, and the first one may go from the settings', async (t) => {
  const stage = await scene(t, '', program('one'));
  const [second, third] = [await freePort(), await freePort()];
  stage.space.write('server.cjs', program('one', [`tcp=${second}`]));
  const settings = (port: number): string =>
    `services: { web: { script: server.cjs, listeners: ['tcp://[::]:${port}'] } }\nhealth: { path: / }\n`;
  const config = stage.space.write('motya.yaml', settings(stage.port));
  await startWith(stage, config);
  const without = await deploy(stage, program('two'));
  assert.equal(without.code, 0, without.stdout);
  assert.equal(await isRefused(second), true);
  stage.space.write('motya.yaml', settings(third));
  const gone = await deploy(stage, moved(third));
  assert.equal(gone.code, 0, gone.stdout);
  assert.equal(await isRefused(stage.port), true);
});

test('a release that does not open a port of its settings, which the one before had open: rolled back', async (t) => {
  const stage = await scene(t, '', program('one'));
  const listeners = `listeners: ['tcp://[::]:${stage.port}']`;
  const config = stage.space.write('motya.yaml', `services: { web: { script: server.cjs, ${listeners} } }\n`);
  await startWith(stage, config);
  isInUse(await deploy(stage, moved(await freePort())));
  assert.equal(await answerOn(`tcp=${stage.port}`), 'one');
});
