import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { IMPORT_NATIVE, outputOf, runModule, scratch } from './support.js';

/** errno values for the filters (errno(3)). */
const EPERM = '1';
const ENOSYS = '38';

/**
 * Preloaded into a Node: seccomp filters that refuse close_range (and getdents64, as native/close_from.h calls it, known by the size
 * of its buffer) with an errno, and end a process that closes an fd higher than any that is open, or than the last one that may be
 * tried; and a handler of pthread_atfork that leaves a file.
 */
const RESTRICTIONS = `#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
enum { NUMBER = 0, FIRST = 16, THIRD = 32 };
static void forked(void) { close(open(getenv("TEST_FORKED"), O_CREAT | O_WRONLY, 0600)); }
static void filter(unsigned call, unsigned argument, unsigned jump, unsigned value, unsigned action) {
  struct sock_filter program[] = {
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NUMBER), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
    BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument), BPF_JUMP(BPF_JMP | jump | BPF_K, value, 0, 1),
    BPF_STMT(BPF_RET | BPF_K, action), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog all = {sizeof program / sizeof *program, program};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) != 0) _exit(99);
}
__attribute__((constructor)) static void restrict_calls(void) {
  const char *range = getenv("TEST_CLOSE_RANGE"), *list = getenv("TEST_GETDENTS"), *mark = getenv("TEST_FORKED");
  if (mark != NULL) pthread_atfork(NULL, NULL, forked);
  if (range == NULL) return;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(99);
  filter(SYS_close_range, FIRST, BPF_JGE, 0, SECCOMP_RET_ERRNO | atoi(range));
  if (list != NULL) filter(SYS_getdents64, THIRD, BPF_JEQ, 4096, SECCOMP_RET_ERRNO | atoi(list));
  filter(SYS_close, FIRST, BPF_JGE, list == NULL ? 10000 : 65536, SECCOMP_RET_KILL_PROCESS);
}
`;

/** Launches an ls of its own fds, with leaks of ours at low and high numbers, and says what it has listed. */
const LAUNCH = `${IMPORT_NATIVE}
const { openSync, readFileSync } = await import('node:fs');
const source = openSync('/dev/zero', 'r');
for (const leak of [60, 61, 300, 4000]) native.fd.redirect(source, leak);
const ends = native.fd.pipe();
native.process.launch({ file: '/bin/ls', args: ['/proc/self/fd'], env: ['LC_ALL=C'], cwd: '/', fds: [source, ends[1], 2] });
native.fd.close(ends[1]);
console.log(JSON.stringify({
  loaded: readFileSync('/proc/self/maps', 'utf8').includes('/restrict.so'),
  seccomp: /^Seccomp:\\s+(\\d)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1],
  fds: readFileSync(ends[0], 'utf8').trim().split('\\n'),
}));
`;

/** 3 is the directory that ls reads. */
const FDS = ['0', '1', '2', '3'];

const skip = spawnSync('cc', ['--version']).status === 0 ? false : 'no C compiler';
const directory = mkdtempSync(join(tmpdir(), 'motya-restrict-'));
const library = join(directory, 'restrict.so');
before(() => {
  if (skip !== false) return;
  writeFileSync(join(directory, 'restrict.c'), RESTRICTIONS);
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, join(directory, 'restrict.c')]);
});
after(() => rmSync(directory, { recursive: true, force: true }));

/** What the launched ls has listed, and whether the restrictions were in force. */
async function launchRestricted(t: TestContext, variables: Record<string, string>): Promise<unknown> {
  const env = { ...process.env, ...variables, LD_PRELOAD: [process.env.LD_PRELOAD, library].join(' ') };
  return JSON.parse(await outputOf(runModule(t, LAUNCH, { stdio: ['ignore', 'pipe', 'inherit'], env })));
}

for (const [how, variables] of Object.entries({
  'close_range is unknown': { TEST_CLOSE_RANGE: ENOSYS },
  'close_range is refused': { TEST_CLOSE_RANGE: EPERM },
  'close_range is refused and /proc cannot be read': { TEST_CLOSE_RANGE: EPERM, TEST_GETDENTS: EPERM },
})) {
  test(`no fd gets through, and only what may be open is closed, where ${how}`, { skip }, async (t) => {
    assert.deepEqual(await launchRestricted(t, variables), { loaded: true, seccomp: '2', fds: FDS });
  });
}

test('no handler of pthread_atfork runs in a child that is launched', { skip }, async (t) => {
  const mark = join(scratch(t), 'forked');
  assert.deepEqual(await launchRestricted(t, { TEST_FORKED: mark }), { loaded: true, seccomp: '0', fds: FDS });
  assert.equal(existsSync(mark), false);
});
