// `npm run bench:moves`: what keep-alive clients see of deploys, under Motya and beside it, and how fast connections move. Prints
// Markdown and keeps it in docs/internals/benchmarks.md.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { circumstances, writePart } from '../upgrade/lib/report.mjs';
import { sideBySide } from './side-by-side.mjs';
import { speed } from './speed.mjs';
import { waiting } from './waiting.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    clients: { type: 'string' },
    deploys: { type: 'string' },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});
const { quick } = values;
const options = {
  script: fileURLToPath(new URL('./server.cjs', import.meta.url)),
  clients: Number(values.clients ?? (quick ? 100 : 1_000)),
  deploys: Number(values.deploys ?? (quick ? 2 : 10)),
  rounds: Number(values.rounds ?? (quick ? 1 : 3)),
  minutes: quick ? 0.1 : 1,
  counts: quick ? [0, 1_000] : [0, 1_000, 10_000],
  say: (text) => process.stderr.write(`${text}\n`),
};
const typed = process.argv.slice(2);
const command = `npm run bench:moves${typed.length > 0 ? ` -- ${typed.join(' ')}` : ''}`;

const PARTS = {
  clients: ['## Connections that live through deploys', sideBySide],
  speed: ['## Speed of a move', speed],
  waiting: ['## A generation that waits', waiting],
};
const names = values.only?.split(',') ?? Object.keys(PARTS);
const unknown = names.filter((name) => !(name in PARTS));
if (unknown.length > 0)
  throw new TypeError(`no part ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`);

for (const name of names) {
  const [title, part] = PARTS[name];
  const markdown = `${title}\n\n${await part(options)}\n\n${circumstances(command)}`;
  console.log(`${markdown}\n`);
  // A quick run is for trying the bench out: its numbers are not worth keeping.
  if (!quick) writePart(`moves:${name}`, markdown);
}
