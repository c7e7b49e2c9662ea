import assert from 'node:assert/strict';
import { userInfo } from 'node:os';
import { test } from 'node:test';
import { native } from '#src/base/os/native.js';

test('findUser, findGroup, groupsOf: what the user database says', () => {
  const { username, uid, gid, homedir } = userInfo();
  const self = { name: username, uid, gid, home: homedir };
  assert.deepEqual({ ...native.users.find(username) }, self);
  assert.deepEqual({ ...native.users.find(uid) }, self);
  assert.equal(native.users.find('no-such-user'), null);
  assert.equal(native.users.find(''), null);
  assert.equal(native.users.find(4_294_967_294), null);
  assert.equal(native.users.findGroup('daemon'), 1);
  assert.equal(native.users.findGroup('no-such-group'), null);
  assert.deepEqual(native.users.groupsOf('no-such-user', 7), [7]);
  for (const wrong of [-1, 1.5, 4_294_967_295, Number.NaN, null, 'a\0b']) {
    assert.throws(() => native.users.find(wrong as number), TypeError, String(wrong));
  }
});
