import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { CLI } from './harness/paths.js';
import { failureOf, outcomeOf, program, scene, servesAs } from './scene.js';

/** Listens on that many abstract unix sockets, too. */
const MANY = (count: number): string => `
const names = Array.from({ length: ${count} }, (_, n) => '\\0' + process.env.PORT + '-' + n);
for (const name of names) require('node:http').createServer(() => {}).listen(name);
`;
const LISTENERS = 60;
/** Fds: enough to serve on LISTENERS, too few for an upgrade. */
const LIMIT = 170;

/** Gives each SEQPACKET socket the smallest send buffer that the kernel allows: what net.core.wmem_default may be. */
const SMALL_BUFFERS = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>
static void shrink(int fd) {
  int type = 0, size = 1;
  socklen_t length = sizeof type;
  if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_SEQPACKET) return;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}
int socket(int domain, int type, int protocol) {
  int (*real)(int, int, int) = dlsym(RTLD_NEXT, "socket");
  int fd = real(domain, type, protocol);
  shrink(fd);
  return fd;
}
int socketpair(int domain, int type, int protocol, int fds[2]) {
  int (*real)(int, int, int, int *) = dlsym(RTLD_NEXT, "socketpair");
  int result = real(domain, type, protocol, fds);
  if (result == 0) { shrink(fds[0]); shrink(fds[1]); }
  return result;
}
int accept4(int listener, struct sockaddr *address, socklen_t *length, int flags) {
  int (*real)(int, struct sockaddr *, socklen_t *, int) = dlsym(RTLD_NEXT, "accept4");
  int fd = real(listener, address, length, flags);
  shrink(fd);
  return fd;
}
`;
const hasCompiler = spawnSync('cc', ['--version']).status === 0;

describe('an upgrade where there is little room', () => {
  it('few fds: told at the first start, and by the rejected upgrade, with the numbers', async (test) => {
    const stage = await scene(test, '', program('one', MANY(LISTENERS)));
    const limited = `ulimit -n ${LIMIT}; exec "$0" "$@"`;
    const args = [process.execPath, CLI, 'start', stage.script, '--name', 'app'];
    const env = { PORT: String(stage.port) };
    const first = stage.space.start('bash', ['-c', limited, ...args], { env });
    await first.waitFor('serving');
    await first.waitFor(
      ({ event, lacks, limit }) => event === 'preflight' && lacks === 'file-descriptors' && limit === LIMIT,
    );
    const upgrade = await stage.upgrade('--json');
    const said = outcomeOf(upgrade);
    assert.deepEqual([upgrade.code, said.ok, said.code], [3, false, 'ERR_MOTYA_PREFLIGHT'], said.text);
    const { lacks, limit, open, needed } = said.details ?? {};
    assert.deepEqual([lacks, limit], ['file-descriptors', LIMIT]);
    assert.ok(Number(open) + Number(needed) > LIMIT, said.text);
    assert.equal((await stage.who()).generation, '1');
    // One that is started by hand, before the listeners come.
    const second = stage.space.start('bash', ['-c', limited, ...args, '--upgrade'], { env });
    assert.equal((await second.waitForExit()).code, 1);
    assert.equal(failureOf(second).code, 'ERR_MOTYA_PREFLIGHT');
  });

  it('send buffers of 4 KiB: an upgrade and a status work', {
    skip: !hasCompiler && 'needs a C compiler',
  }, async (test) => {
    const stage = await scene(test, '', program('one', MANY(LISTENERS)));
    const library = stage.space.path('small.so');
    execFileSync('cc', ['-shared', '-fPIC', '-o', library, stage.space.write('small.c', SMALL_BUFFERS)]);
    Object.assign(stage.space.env, { LD_PRELOAD: library });
    const first = await stage.first();
    const upgraded = await stage.upgrade();
    assert.equal(upgraded.code, 0, upgraded.stderr);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
    const status = await stage.space.status(['--name', 'app']);
    assert.equal((status.listeners as unknown[]).length, LISTENERS + 1);
    assert.equal((await stage.who()).generation, '2');
  });

  it('a program that spins does not hold up the upgrade', async (test) => {
    const stage = await scene(test, '', program('one', `process.on('SIGUSR1', () => { for (;;); });`));
    const first = await stage.first(['--drain-timeout', '0.1s']);
    process.kill((await stage.who()).pid, 'SIGUSR1');
    const { code, stderr } = await stage.upgrade();
    assert.equal(code, 0, stderr);
    await servesAs(first, 2);
    const paused = first.logs.find(({ event, from }) => event === 'phase' && from === 'pausing');
    // Nobody accepts in this phase; it was 2,000 ms.
    assert.ok(Number(paused?.ms) < 1_000, JSON.stringify(paused));
  });
});

describe('listeners whose settings change', () => {
  it('an address that overlaps one of the incumbent is said to be that', async (test) => {
    const listens = (host: string): string => program('one').replace('...address()', `process.env.PORT, '${host}'`);
    const stage = await scene(test, '', listens('127.0.0.1'));
    await stage.first();
    for (const host of ['0.0.0.0', '::']) {
      stage.space.write('server.cjs', listens(host));
      const upgrade = await stage.upgrade('--json');
      const { text, details } = outcomeOf(upgrade);
      assert.deepEqual([upgrade.code, details?.overlaps], [3, `tcp://127.0.0.1:${stage.port}`], text);
    }
    assert.equal((await stage.who()).generation, '1');
  });

  it('a backlog that is left out is the default again', async (test) => {
    const stage = await scene(test, '', program('one'));
    const settings = (backlog: string): string =>
      stage.space.write(
        'motya.yaml',
        `name: app\nservices:\n  web:\n    script: server.cjs\n    listeners: [{ listen: 'tcp://127.0.0.1:${stage.port}'${backlog} }]\n`,
      );
    const config = settings(', backlog: 7');
    const first = stage.space.motya(['start', '--config', config], { env: { PORT: String(stage.port) } });
    await first.waitFor('serving');
    const backlog = async (): Promise<unknown> => (await stage.status()).listeners[0]?.backlog;
    assert.equal(await backlog(), 7);
    settings('');
    assert.equal((await stage.upgrade()).code, 0);
    assert.equal(await backlog(), 511);
    assert.deepEqual(await first.waitForExit(), { code: 0, signal: null });
  });

  it('so is one that the program does not name any more', async (test) => {
    const listens = (backlog: string): string =>
      program('one').replace('...address()', `process.env.PORT, '127.0.0.1'${backlog}`);
    const stage = await scene(test, '', listens(', 9'));
    await stage.first();
    const backlog = async (): Promise<unknown> => (await stage.status()).listeners[0]?.backlog;
    assert.equal(await backlog(), 9);
    stage.space.write('server.cjs', listens(''));
    assert.equal((await stage.upgrade()).code, 0);
    assert.equal(await backlog(), 511);
  });
});

describe('motya upgrade --json', () => {
  it('prints an object with every exit status', async (test) => {
    const stage = await scene(test, '', program('one'));
    const outcomes: [status: number | null, code: string][] = [];
    const upgrade = async (...args: string[]): Promise<void> => {
      const { code, stdout } = await stage.upgrade('--json', ...args);
      const said = outcomeOf({ stdout });
      assert.equal(said.ok, code === 0);
      assert.ok(said.text.length > 0);
      outcomes.push([code, said.code]);
    };
    await upgrade();
    await upgrade('--wait', '--detach');
    await upgrade('--no-such-flag');
    const first = await stage.first();
    stage.space.write('server.cjs', 'oops(');
    await upgrade();
    first.kill('SIGSTOP');
    await upgrade();
    first.kill('SIGCONT');
    assert.deepEqual(outcomes, [
      [4, 'ERR_MOTYA_NOT_RUNNING'],
      [2, 'ERR_MOTYA_SETTINGS'],
      [2, 'ERR_MOTYA_SETTINGS'],
      [3, 'ERR_MOTYA_PROGRAM'],
      [5, 'ERR_MOTYA_NO_ANSWER'],
    ]);
  });
});
