import { mkdirSync, readdirSync } from 'node:fs';
import type { Workspace } from '../../e2e/harness/index.js';

/** Says which process answers, and writes down who has asked. */
export const SERVER = `
const { appendFileSync } = require('node:fs');
require('node:http').createServer((request, response) => {
  if (process.env.COUNT) appendFileSync(process.env.COUNT, request.headers['user-agent'] + '\\n');
  response.end(String(process.pid));
}).listen(Number(process.env.PORT));
`;

/** A directory of its own for temporary files, so that what is left there can be seen. */
export function sandboxEnvironment(space: Workspace): { env: Record<string, string>; left: () => string[] } {
  const directory = space.path('tmp');
  mkdirSync(directory);
  return { env: { TMPDIR: directory }, left: () => readdirSync(directory) };
}
