import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

let child: ChildProcess;
let url: string;
before(async () => {
  const script = fileURLToPath(new URL('../../dist/runtime/welcome.js', import.meta.url));
  child = spawn(process.execPath, [script], {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.ok(child.stdout);
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  url = /http:\S+/.exec(line)?.[0] ?? '';
});
after(async () => {
  child.kill();
  await once(child, 'exit');
});

test('the page says who answers and how to try an upgrade, and needs nothing from elsewhere', async () => {
  const response = await fetch(url);
  const page = await response.text();
  assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.match(
    page,
    new RegExp(`<dd id="generation">1</dd>[^]*<dd id="pid">${child.pid}</dd>[^]*<span id="uptime">\\d+</span>`),
  );
  assert.match(page, /npx motya upgrade/);
  assert.match(page, /name="viewport"/);
  assert.doesNotMatch(page, /(src|href)="(?!data:)/);
});

test('a program that asks for JSON gets the facts', async () => {
  const response = await fetch(url, { headers: { accept: 'application/json' } });
  const { uptime, ...facts } = (await response.json()) as Record<string, number>;
  assert.deepEqual(facts, { generation: 1, pid: child.pid });
  assert.ok(uptime !== undefined && uptime >= 0);
});

test('anything else is refused', async () => {
  assert.equal((await fetch(new URL('other', url))).status, 404);
  const posted = await fetch(url, { method: 'POST' });
  assert.equal(posted.status, 405);
  assert.equal(posted.headers.get('allow'), 'GET, HEAD');
  assert.equal(await (await fetch(url, { method: 'HEAD' })).text(), '');
});
