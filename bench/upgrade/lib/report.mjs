import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { REPORT } from './paths.mjs';

/** A Markdown table; the first column is text, the others are numbers. */
export function table(head, rows) {
  const rule = head.map((_, index) => (index === 0 ? '---' : '---:'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** What a reader needs to judge the numbers. */
export function circumstances(command) {
  const model = cpus()[0]?.model.trim() || 'unknown CPU';
  const date = new Date().toISOString().slice(0, 10);
  return `\`${command}\`, Node ${process.versions.node}, Linux ${release()}, ${availableParallelism()} cores (${model}), ${date}`;
}

/** Replaces what stands between a part's markers; what is outside of them is written by people. */
export function writePart(name, markdown) {
  const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
  const text = existsSync(REPORT) ? readFileSync(REPORT, 'utf8') : '# Benchmarks\n';
  const block = `${begin}\n${markdown}\n${end}`;
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  const whole = from < 0 || to < 0 ? `${text}\n${block}\n` : text.slice(0, from) + block + text.slice(to + end.length);
  writeFileSync(REPORT, whole);
}
