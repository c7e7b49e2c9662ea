import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Details } from '#src/base/errors.js';
import { cgroupRooms, machineRoom } from '#src/handover/preflight.js';
import { scene } from '../e2e/scene.js';

const MIB = 1024 * 1024;

/** Writes files below a directory of its own, as the kernel shows them. */
function files(t: Parameters<typeof scene>[0], contents: Readonly<Record<string, string>>): string {
  const directory = mkdtempSync(join(tmpdir(), 'motya-cgroup-'));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const [name, content] of Object.entries(contents)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  }
  return directory;
}

test('the room below the limits of a cgroup and of those above it, in version 2', (t) => {
  const directory = files(t, {
    own: '0::/a/b\n',
    'a/b/memory.max': 'max\n',
    'a/b/memory.current': `${90 * MIB}\n`,
    'a/memory.max': `${100 * MIB}\n`,
    'a/memory.current': `${95 * MIB}\n`,
    'a/memory.stat': `anon 1\ninactive_file ${10 * MIB}\nactive_file 5\n`,
  });
  assert.deepEqual(cgroupRooms(directory, join(directory, 'own')), [
    { free: 15 * MIB, where: 'below the 100 MiB of cgroup /a' },
  ]);
});

test('in version 1, with an empty version 2 beside it', (t) => {
  const directory = files(t, {
    own: '4:memory:/x\n3:cpu,cpuacct:/x\n0::/\n',
    'memory/x/memory.limit_in_bytes': `${64 * MIB}\n`,
    'memory/x/memory.usage_in_bytes': `${60 * MIB}\n`,
    'memory/x/memory.stat': `inactive_file 7\ntotal_inactive_file ${2 * MIB}\n`,
    'unified/cgroup.procs': '',
  });
  assert.deepEqual(cgroupRooms(directory, join(directory, 'own')), [
    { free: 6 * MIB, where: 'below the 64 MiB of cgroup /x' },
  ]);
});

test('without cgroups, and on this machine', (t) => {
  const directory = files(t, { meminfo: 'MemTotal: 100 kB\nMemAvailable:   2048 kB\n' });
  assert.deepEqual(cgroupRooms(directory, join(directory, 'none')), []);
  assert.deepEqual(machineRoom(join(directory, 'meminfo')), { free: 2 * MIB, where: 'on this machine' });
  assert.ok(machineRoom('/proc/meminfo').free > 0);
  for (const { free } of cgroupRooms()) assert.ok(free > 0);
});

test('a successor with too few file descriptors gives up with the numbers; the first one serves on', async (t) => {
  const stage = await scene(t);
  const first = await stage.first();
  const second = await stage.waiting();
  // Not before it has started: Node opens more files than that for its modules.
  execFileSync('prlimit', ['--pid', String(second.pid), '--nofile=48:48']);
  first.kill('SIGQUIT');
  const { code, details } = await first.waitFor('rejected');
  assert.equal(code, 'ERR_MOTYA_PREFLIGHT');
  const { lacks, limit, needed } = details as Details;
  assert.deepEqual({ lacks, limit, needed }, { lacks: 'file-descriptors', limit: 48, needed: 34 });
  assert.deepEqual(await second.waitForExit(), { code: 1, signal: null });
  assert.equal((await stage.who()).generation, '1');
  assert.equal((await stage.upgrade()).code, 0);
});
