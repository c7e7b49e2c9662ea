import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { freePort, until } from '../../e2e/harness/index.js';
import { program, type Scene, scene } from '../../e2e/scene.js';
import { noBrowser, openPage, overflow } from './browser.js';

const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 };
const skip = noBrowser;

/** An instance whose status page is at `origin`. */
async function shown(t: TestContext, args: readonly string[] = []): Promise<{ stage: Scene; origin: string }> {
  const stage = await scene(t, '', program('one'));
  const port = await freePort();
  await stage.first(['--admin', `tcp://127.0.0.1:${port}`, ...args]);
  return { stage, origin: `http://127.0.0.1:${port}` };
}

test('an upgrade is seen live: the new generation, the old one’s drain and its end', { skip }, async (t) => {
  const { stage, origin } = await shown(t, ['--drain-timeout', '5m', '--workers', '2']);
  const { page, errors, requests } = await openPage(t, origin);
  await page.getByRole('heading', { name: 'app' }).waitFor();
  await page.getByText(/^Generation 1, pid \d+, up \d+/).waitFor();
  assert.equal(await page.getByRole('status').textContent(), 'serving');
  assert.equal(await page.getByRole('heading', { name: 'Draining' }).isVisible(), false);
  assert.equal(await page.locator('#workers tr').count(), 2);
  await page.getByText('None yet.').waitFor();

  const held = await stage.hold();
  const upgrade = stage.upgrade();
  await page.getByText(/^Generation 2, pid \d+, up \d+/).waitFor();
  assert.equal((await upgrade).code, 0);
  await page.getByText(/Generation 1 \(pid \d+\): 1 connection \(1 http1\), (4 min \d+|5 min 0) s left/).waitFor();
  const left = page.getByLabel('time left for generation 1');
  const value = () => left.evaluate((bar) => Number((bar as unknown as { value: number }).value));
  const before = await value();
  await until(async () => (await value()) < before, { what: 'the time left to shrink' });
  assert.equal(await page.locator('#timeline rect.left').count(), 1);
  await page.getByText(/✓ generation 2/).waitFor();
  assert.equal(await page.title(), 'app · generation 2');

  held.finish();
  await held.answer;
  await page.getByRole('heading', { name: 'Draining' }).waitFor({ state: 'hidden' });
  await page.getByText(/^pid \d+ served /).waitFor();

  stage.space.write('server.cjs', 'throw new Error("broken")');
  assert.equal((await stage.upgrade()).code, 3);
  await page.getByText('✗ generation 3: ERR_MOTYA_PROGRAM').waitFor();
  assert.equal(await page.getByRole('status').textContent(), 'serving');
  assert.deepEqual(errors, []);
  assert.ok(requests.length > 5);
  assert.deepEqual(
    requests.filter((url) => !url.startsWith(`${origin}/`)),
    [],
  );
});

test('on a phone, in the dark, nothing is wider than the screen', { skip }, async (t) => {
  const { stage, origin } = await shown(t, ['--drain-timeout', '5m', '--workers', '2']);
  const { page, errors } = await openPage(t, origin, { ...PHONE, colorScheme: 'dark' });
  const held = await stage.hold();
  assert.equal((await stage.upgrade()).code, 0);
  await page.getByText(/Generation 1 \(pid \d+\): 1 connection/).waitFor();
  await page.locator('#workers tr').nth(1).waitFor();
  assert.ok((await overflow(page)) <= 0, `${await overflow(page)} px too wide`);
  // A worker's numbers have their names beside them there.
  const label = `getComputedStyle(document.querySelector('#workers td[data-label=Memory]'), '::before').content`;
  assert.equal(await page.evaluate(label), '"Memory"');
  const ground = (await page.evaluate('getComputedStyle(document.body).backgroundColor')) as string;
  const [red = 255] = /\d+/.exec(ground)?.map(Number) ?? [];
  assert.ok(red < 50, ground);
  assert.deepEqual(errors, []);
  held.finish();
  await held.answer;
});

test('it says when the server cannot be reached, and goes on when it is back', { skip }, async (t) => {
  const { stage, origin } = await shown(t);
  const { page } = await openPage(t, origin);
  await page.getByText(/^Generation 1, pid \d+/).waitFor();
  const alert = page.getByRole('alert');
  assert.equal(await alert.isVisible(), false);
  assert.equal((await stage.space.run(['stop', '--name', 'app'])).code, 0);
  await alert.waitFor();
  assert.match((await alert.textContent()) ?? '', /^The server cannot be reached \(.*\); what is below was so at /);
  await stage.first(['--admin', origin.replace('http', 'tcp')]);
  await alert.waitFor({ state: 'hidden' });
});
