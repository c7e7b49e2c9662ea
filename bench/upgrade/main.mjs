// `npm run bench:upgrade`: Motya's upgrades measured beside others. Prints Markdown and keeps it in docs/internals/benchmarks.md.
import { parseArgs } from 'node:util';
import { circumstances, writePart } from './lib/report.mjs';
import { boot } from './parts/boot.mjs';
import { failures } from './parts/failures.mjs';
import { handover } from './parts/handover.mjs';
import { memory } from './parts/memory.mjs';
import { throughput } from './parts/throughput.mjs';

const PARTS = { failures, handover, boot, throughput, memory };

const { values } = parseArgs({
  options: { only: { type: 'string' }, rounds: { type: 'string' }, quick: { type: 'boolean', default: false } },
});
const names = values.only?.split(',') ?? Object.keys(PARTS);
const unknown = names.filter((name) => !(name in PARTS));
if (unknown.length > 0)
  throw new TypeError(`no part ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}`);

const options = { quick: values.quick, say: (text) => process.stderr.write(`${text}\n`) };
if (values.rounds !== undefined) options.rounds = Number(values.rounds);
const typed = process.argv.slice(2);
const command = `npm run bench:upgrade${typed.length > 0 ? ` -- ${typed.join(' ')}` : ''}`;

for (const name of names) {
  const markdown = `${await PARTS[name](options)}\n\n${circumstances(command)}`;
  console.log(`${markdown}\n`);
  // A quick run is for trying the bench out: its numbers are not worth keeping.
  if (!values.quick) writePart(`upgrade:${name}`, markdown);
}
