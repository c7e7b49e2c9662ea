import check from './check.js';
import type { Command } from './command.js';
import completion from './completion.js';
import drill from './drill.js';
import init from './init.js';
import rollback from './rollback.js';
import schema from './schema.js';
import signal from './signal.js';
import start from './start.js';
import status from './status.js';
import stop from './stop.js';
import upgrade from './upgrade.js';

/** All commands, in the order of `motya --help`. */
export const commands: readonly Command[] = [
  start,
  upgrade,
  rollback,
  signal,
  status,
  stop,
  check,
  drill,
  init,
  schema,
  completion,
];
