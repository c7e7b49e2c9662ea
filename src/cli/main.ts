import './small-heap.js';
import { codeOf, detailFields, MotyaError, reasonOf, SettingsError } from '../base/errors.js';
import { hideBin, yargs } from '../base/vendor/yargs.js';
import { VERSION } from '../base/version.js';
import { yargsModule } from './command.js';
import { checkCommandLine, explained, splitCommandLine } from './command-line.js';
import { commands } from './commands/index.js';
import { EXIT } from './exit-status.js';
import { printFailure, withCode } from './failure-line.js';

declare module 'yargs' {
  // yargs 17.3 has it, its types do not.
  interface Argv {
    usageConfiguration(configuration: { 'hide-types': boolean }): this;
  }
}

function exitStatusOf(error: unknown): number {
  if (error instanceof SettingsError) return EXIT.usage;
  if (error instanceof MotyaError && error.code === 'ERR_MOTYA_AMBIGUOUS') return EXIT.usage;
  if (error instanceof MotyaError && error.code === 'ERR_MOTYA_NOT_RUNNING') return EXIT.notRunning;
  if (error instanceof MotyaError && error.code === 'ERR_MOTYA_NO_ANSWER') return EXIT.noAnswer;
  return EXIT.failed;
}

/** `--no-color` with any command, and for all that it starts: what NO_COLOR says (https://no-color.org). */
function withoutColour(typed: readonly string[]): string[] {
  const end = typed.indexOf('--');
  const isOwn = (word: string, at: number): boolean => word === '--no-color' && (end < 0 || at < end);
  if (typed.some(isOwn)) process.env.NO_COLOR = '1';
  return typed.filter((word, at) => !isOwn(word, at));
}

/** Runs the command of `process.argv`, and sets the exit status. Rejects with what is a defect. */
export async function main(): Promise<void> {
  const commandLine = splitCommandLine(withoutColour(hideBin(process.argv)));
  const parser = yargs()
    .scriptName('motya')
    .usage('$0 <command>\n\nHot reload of network servers: replaced while they run, unnoticed by clients.')
    .command(commands.map((command) => yargsModule(command)))
    .demandCommand(1, 'Name a command, for example: motya start server.js')
    .parserConfiguration({ 'duplicate-arguments-array': false })
    .usageConfiguration({ 'hide-types': true })
    // Its messages are read by fail(), below.
    .locale('en')
    .strict()
    .version(VERSION)
    .help()
    .epilogue('First: motya start server.js. Of each command: motya start --help\nWith any command: --no-color')
    .fail((message, error) => {
      // yargs' own errors come with a message here, or as a YError: neither deserves a stack.
      if (error !== undefined && error !== null && error.name !== 'YError') throw error;
      throw new SettingsError(explained(message ?? error.message, commandLine));
    });

  try {
    checkCommandLine(commandLine);
    await parser.parse([...commandLine.own], { args: commandLine.program });
  } catch (error) {
    // A program that reads stdout gets an object with every exit status; stderr is for people.
    if (commandLine.own.includes('--json'))
      console.log(JSON.stringify({ ok: false, code: codeOf(error), text: reasonOf(error), ...detailFields(error) }));
    if (!(error instanceof MotyaError)) throw error;
    // As a compiler has it: the place comes first.
    if (error instanceof SettingsError) console.error(withCode(error.message, error.code));
    else printFailure(error.message, error.code);
    process.exitCode = exitStatusOf(error);
  }
}
