#!/usr/bin/env node
import './frugal-heap.js';
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import check from './commands/check.js';
import { EXIT } from './commands/exit-status.js';
import schema from './commands/schema.js';
import start from './commands/start.js';
import status from './commands/status.js';
import stop from './commands/stop.js';
import upgrade from './commands/upgrade.js';
import { MotyaError, SettingsError } from './errors.js';
import { VERSION } from './version.js';

/** What follows `--` belongs to the program, whatever it looks like. */
function split(words: readonly string[]): { ours: string[]; programs: string[] } {
  const at = words.indexOf('--');
  return at < 0 ? { ours: [...words], programs: [] } : { ours: words.slice(0, at), programs: words.slice(at + 1) };
}

function exitStatusOf(error: unknown): number {
  if (error instanceof SettingsError) return EXIT.usage;
  if (error instanceof MotyaError && error.code === 'MOTYA_NOT_RUNNING') return EXIT.notRunning;
  if (error instanceof MotyaError && error.code === 'MOTYA_NO_ANSWER') return EXIT.noAnswer;
  return EXIT.failed;
}

const { ours, programs } = split(hideBin(process.argv));
const parser = yargs(ours)
  .scriptName('motya')
  .usage('$0 <command>\n\nReplaces a running network server with its next version while clients notice nothing.')
  .command(start)
  .command(upgrade)
  .command(status)
  .command(stop)
  .command(check)
  .command(schema)
  .demandCommand(1, 'Name a command, for example: motya start server.js')
  .parserConfiguration({ 'duplicate-arguments-array': false })
  .strict()
  .version(VERSION)
  .help()
  .fail((message, error) => {
    // yargs' own errors come with a message here, or as a YError: neither deserves a stack.
    if (error !== undefined && error !== null && error.name !== 'YError') throw error;
    throw new SettingsError(`${message ?? error.message}; see motya --help`);
  });

try {
  await parser.parse(ours, { args: programs });
} catch (error) {
  if (!(error instanceof MotyaError)) throw error;
  console.error(error instanceof SettingsError ? error.message : `motya: ${error.message}`);
  process.exitCode = exitStatusOf(error);
}
