import { fileURLToPath } from 'node:url';

/** This file is dist-test/e2e/harness/paths.js when it runs. */
export const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
/** The compiled `motya` command. */
export const CLI = `${ROOT}dist/motya.cjs`;

/** Path of a program under test/fixtures/apps, for example `http.cjs`. */
export function app(name: string): string {
  return `${ROOT}test/fixtures/apps/${name}`;
}
