import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { it } from 'node:test';
import { ROOT, workspace } from '../harness/index.js';

const DIRECTORY = `${ROOT}examples/systemd/`;
const services = readdirSync(DIRECTORY).filter((name) => name.endsWith('.service'));

/** The values of a directive in a unit file, in order. */
function valuesOf(unit: string, directive: string): string[] {
  const lines = readFileSync(DIRECTORY + unit, 'utf8').split('\n');
  return lines.filter((line) => line.startsWith(`${directive}=`)).map((line) => line.slice(directive.length + 1));
}

for (const unit of services) {
  it(`${unit}: its commands are the ones that we test, and a drain fits into its time to stop`, async (test) => {
    const space = workspace(test);
    assert.match(valuesOf(unit, 'ExecStart')[0] ?? '', /^\/usr\/bin\/motya start \/srv\/shop\/server\.js/);
    const script = space.write('server.js', '');
    const checked = await space.run(['check', '--print', script], { env: { MOTYA_USER: 'root' } });
    assert.equal(checked.code, 0, checked.stderr);
    const { drainTimeout } = JSON.parse(checked.stdout) as { drainTimeout: number };
    assert.ok(Number(valuesOf(unit, 'TimeoutStopSec')[0]) * 1000 > drainTimeout);
    for (const reload of valuesOf(unit, 'ExecReload')) {
      const [command, ...rest] = reload.split(' ');
      if (command === '/bin/kill') assert.deepEqual(rest, ['-QUIT', '$MAINPID']);
      else assert.match(reload, /^\/usr\/bin\/motya (upgrade|start \/srv\/shop\/server\.js .*--upgrade --daemonize)$/);
    }
  });
}
