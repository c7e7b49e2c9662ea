import type { Command } from '../command.js';
import check from './check-command.js';
import { completionCommand } from './completion-command.js';
import drill from './drill-command.js';
import init from './init-command.js';
import rollback from './rollback-command.js';
import schema from './schema-command.js';
import signal from './signal-command.js';
import start from './start-command.js';
import status from './status-command.js';
import stop from './stop-command.js';
import upgrade from './upgrade-command.js';

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
  completionCommand(() => commands),
];
