import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { SettingsError } from '#src/base/errors.js';
import { type Flags, loadSettings } from '#src/config/load.js';
import type { AdminSettings } from '#src/config/settings.js';
import { scratch } from '../../base/native/support.js';

function loader(t: TestContext, yaml?: string) {
  const cwd = scratch(t);
  writeFileSync(join(cwd, 'server.js'), '');
  if (yaml !== undefined) {
    mkdirSync(join(cwd, 'conf'));
    writeFileSync(join(cwd, 'conf/motya.yaml'), `services: { web: { script: ../server.js } }\n${yaml}`);
  }
  const load = (flags: Flags = {}, env: NodeJS.ProcessEnv = {}): AdminSettings | null => {
    const what = yaml === undefined ? { script: 'server.js' } : { config: 'conf/motya.yaml' };
    return loadSettings({ flags: { ...what, ...flags }, env: { RUNTIME_DIRECTORY: '/run/user/7/motya', ...env }, cwd })
      .admin;
  };
  return { cwd, load };
}

const pathOf = (admin: AdminSettings | null) => (admin?.listener.family === 'unix' ? admin.listener.path : null);

test('default: a socket beside the upgrade socket, for its user alone', (t) => {
  const { load } = loader(t);
  assert.deepEqual(load({ name: 'app' }), {
    listener: { family: 'unix', type: 'stream', path: '/run/user/7/motya/app.admin.sock', mode: 0o600 },
    isPrivate: true,
  });
});

test('off, by flag, variable and file', (t) => {
  assert.equal(loader(t).load({ admin: 'off' }), null);
  assert.equal(loader(t).load({}, { MOTYA_ADMIN: 'false' }), null);
  assert.equal(loader(t, 'admin: { listen: false }').load(), null);
  assert.equal(loader(t, 'admin: { listen: off }').load(), null);
  assert.notEqual(loader(t, 'admin: { listen: off }').load({ admin: 'tcp://127.0.0.1:9901' }), null);
});

test('a path starts where it was written: at the directory of the file, or at the working directory', (t) => {
  const file = loader(t, "admin: { listen: 'unix:a.sock', mode: '0660' }");
  assert.deepEqual(file.load(), {
    listener: { family: 'unix', type: 'stream', path: join(file.cwd, 'conf/a.sock'), mode: 0o660 },
    isPrivate: true,
  });
  assert.equal(pathOf(file.load({ admin: 'unix:b.sock' })), join(file.cwd, 'b.sock'));
  assert.equal(pathOf(file.load({}, { MOTYA_ADMIN: 'unix:/c.sock' })), '/c.sock');
});

test('TCP: loopback, and anything else only when that is said', (t) => {
  const { load } = loader(t);
  for (const [address, family] of [
    ['127.0.0.1', 'inet'],
    ['127.8.9.10', 'inet'],
    ['[::1]', 'inet6'],
    ['[::ffff:127.0.0.1]', 'inet6'],
  ]) {
    const admin = load({ admin: `tcp://${address}:9901` });
    assert.deepEqual([admin?.listener.family, admin?.isPrivate], [family, false]);
  }
  for (const address of ['0.0.0.0', '10.0.0.1', '[::]', '[fe80::1]', '[::ffff:10.0.0.1]']) {
    const refused = { message: /^--admin: must be a loopback address, unless admin\.public says .*, not "tcp:/ };
    assert.throws(() => load({ admin: `tcp://${address}:9901` }), refused, address);
    assert.equal(load({ admin: `tcp://${address}:9901`, 'admin-public': true })?.isPrivate, true);
  }
  assert.equal(load({}, { MOTYA_ADMIN: 'tcp://0.0.0.0:1', MOTYA_ADMIN_PUBLIC: 'yes' })?.isPrivate, true);
});

test('what cannot be: one line that says what and where', (t) => {
  const { load } = loader(t);
  const cases: [flags: Flags, text: RegExp][] = [
    [{ admin: 'udp://127.0.0.1:1' }, /^--admin: must be 'unix:\/path', 'tcp:\/\/127\.0\.0\.1:port' or off, not "udp/],
    [{ admin: 'unix:@name' }, /^--admin: must be 'unix:/],
    [{ admin: 'systemd:x' }, /^--admin: must be 'unix:/],
    [{ admin: '9901' }, /^--admin: must be 'unix:/],
    [{ admin: 'tcp://127.0.0.1:0' }, /^--admin: must have a port other than 0, not/],
    [{ admin: 'tcp://localhost:9901' }, /^--admin: must have a numeric address/],
    [{ admin: `unix:/${'x'.repeat(120)}` }, /^--admin: \S+ has 121 bytes/],
    [{ 'admin-public': 'perhaps' }, /^--admin-public: must be true or false/],
  ];
  for (const [flags, message] of cases) {
    assert.throws(
      () => load(flags),
      (error: unknown) => {
        assert.ok(error instanceof SettingsError, String(error));
        assert.match(error.message, message);
        return !error.message.includes('\n');
      },
      JSON.stringify(flags),
    );
  }
  const file = loader(t, "admin: { listen: 'tcp://127.0.0.1:9901', mode: '0660', hosts: [a] }");
  assert.throws(() => file.load(), /motya\.yaml:2:\d+: admin\.hosts: unknown key; allowed: listen, mode, public/);
  const mode = loader(t, "admin: { listen: 'tcp://127.0.0.1:9901', mode: '0660' }");
  assert.throws(() => mode.load(), /motya\.yaml:2:\d+: admin\.mode: cannot be: only a unix: listener is a file/);
});
