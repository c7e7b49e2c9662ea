import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
export const REPORT = join(ROOT, 'docs', 'internals', 'benchmarks.md');
/** Things that are installed for the bench only, kept between runs. */
export const CACHE = join(tmpdir(), 'motya-bench');

/** Path of a program under bench/upgrade/apps. */
export const app = (name) => fileURLToPath(new URL(`../apps/${name}`, import.meta.url));
