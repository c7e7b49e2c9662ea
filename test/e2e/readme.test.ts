import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { CLI, freePort, ROOT, workspace } from './harness/index.js';

/** The code blocks of the README's example, without the installation of the package. */
function blocks(port: number): { language: string; code: string }[] {
  const readme = readFileSync(`${ROOT}README.md`, 'utf8').replaceAll('3000', String(port));
  const [, example = ''] = /^## A five-minute example$(.*?)^## /ms.exec(readme) ?? [];
  const found = [...example.matchAll(/^```(\w+)\n(.*?)^```/gms)];
  return found.map(([, language = '', code = '']) => ({ language, code })).slice(1);
}

it("the README's example does what its comments say", async (test) => {
  const space = workspace(test);
  const [program, start, ...rest] = blocks(await freePort());
  assert.equal(program?.language, 'js');
  space.write('server.js', program?.code ?? '');
  // npx itself is npm's business, and curl need not be here.
  const fetching = 'fetch(process.argv[1]).then((answer) => answer.text()).then(console.log)';
  const commands = `npx() { shift; '${process.execPath}' '${CLI}' "$@"; }
curl() { '${process.execPath}' -e '${fetching}' "$1"; }`;
  const typed = (line: string) => space.start('sh', ['-c', `${commands}\n${line}`], { env: { MOTYA_PROBATION: '1s' } });

  const server = typed(start?.code ?? '');
  await server.waitFor('serving');
  let exits = 0;
  const lines = rest.flatMap(({ code }) => code.trim().split('\n'));
  for (const line of lines) {
    const child = typed(line);
    const { code } = await child.waitForExit();
    const [, says = ''] = /# (.*)/.exec(line) ?? [];
    const status = Number(/exit status (\d)/.exec(says)?.[1] ?? 0);
    assert.equal(code, status, `${line}: ${child.stderr}`);
    if (line.startsWith('curl')) assert.equal(child.stdout.trim(), says, line);
    else if (says !== '') exits += 1;
  }
  assert.deepEqual([lines.filter((line) => line.startsWith('curl')).length, exits], [3, 2]);
});
