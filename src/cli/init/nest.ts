import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sortedWords } from './flags.js';
import { mainFile } from './program.js';
import type { Launcher, StartScript } from './start-script.js';

/** What `nest start` takes when nest-cli.json does not say. */
const DEFAULTS = { sourceRoot: 'src', entryFile: 'main' };
/** Nest's own default; another one is in tsconfig.json, which only TypeScript reads rightly. */
const OUT = 'dist';
/** For its build and its watching. */
const FLAGS =
  /^(-w|--watch|--watchAssets|-b|--builder|-p|--path|-c|--config|--webpack|--tsc|--type-check|--preserveWatchOutput)$/;

/** `nest start` builds, and runs what it has built: only the second part is a server. */
export const nest: Launcher = (args, start, name) => {
  const { flags, operands, after } = sortedWords(args, new Set(['-b', '--builder', '-p', '--path', '-c', '--config']));
  if (operands[0] !== 'start') return start.installed(name, args);
  const what = ['nest', ...args].join(' ');
  const unknown = flags.find((flag) => !FLAGS.test(flag.name));
  if (operands.length > 1 || unknown !== undefined) {
    return start.refuse(`${what} builds a program and runs it`, 'name what it has built: motya init dist/main.js');
  }
  const { sourceRoot, entryFile } = settingsOf(start);
  const built = [join(OUT, sourceRoot, `${entryFile}.js`), join(OUT, `${entryFile}.js`)];
  const script = built.find((file) => mainFile(start.directory, file) !== null);
  if (script === undefined) {
    return start.refuse(
      `${what} builds and runs ${built[1]}, which is not there`,
      'run nest build first, or name what it builds: motya init PROGRAM',
    );
  }
  start.note('not run by Motya: nest build; run that before motya start and before each motya upgrade');
  return start.program({ script, args: after, nodeArgs: ['--enable-source-maps'] });
};

function settingsOf(start: StartScript): typeof DEFAULTS {
  try {
    const { sourceRoot, entryFile } = JSON.parse(readFileSync(join(start.directory, 'nest-cli.json'), 'utf8'));
    return {
      sourceRoot: typeof sourceRoot === 'string' ? sourceRoot : DEFAULTS.sourceRoot,
      entryFile: typeof entryFile === 'string' ? entryFile : DEFAULTS.entryFile,
    };
  } catch {
    return DEFAULTS;
  }
}
