import { statSync } from 'node:fs';
import { basename, dirname, isAbsolute, relative } from 'node:path';
import { SettingsError } from '../../base/errors.js';
import { stemOf } from '../../base/os/paths.js';
import { cutLine, oneLine } from '../../base/printable.js';
import { whyPm2Settings } from '../../config/pm2-settings.js';
import { whyNotRunnable } from '../../config/resolve.js';
import { absolutePath } from '../../config/resolve-path.js';
import { type Executable, findExecutable, hasPlugAndPlay, interpreted } from './executable.js';
import { packageIn } from './package-json.js';
import { mainFile, type Program } from './program.js';
import { readShellLine, type ShellCommand } from './shell-line.js';
import { ShellVariables } from './shell-variables.js';

/** Characters of a start script that a message quotes. */
const SHOWN = 100;
/** Characters of a note, which has such quotes in it. */
const NOTE = 400;

/** What {@link StartScript.program} is told of a Node program. */
export interface Run {
  readonly script: string;
  readonly args: readonly string[];
  readonly nodeArgs?: readonly string[];
}

/** Reads the arguments of a program that starts another one. `name`: as it was typed. */
export type Launcher = (args: readonly string[], start: StartScript, name: string) => Program;

/**
 * Reads what `npm start` would run in a directory, as far as it is one Node program: through other scripts, programs that set variables
 * or options, and node_modules/.bin. Nothing is run for it.
 */
export class StartScript {
  /** Where the command that is read now would run. */
  directory: string;
  /** What the program finds in its environment beyond what is there already. */
  readonly env: Record<string, string> = {};
  workers: number | 'auto' | null = null;
  readonly #startDirectory: string;
  readonly #launchers: ReadonlyMap<string, Launcher>;
  readonly #notes: string[] = [];
  /** What would run before the program, and does not under Motya. */
  readonly #before: string[] = [];
  /** The scripts that led here: their names and lines. */
  readonly #trail: { readonly name: string; readonly line: string }[] = [];
  readonly #seen = new Set<string>();
  #service: string | null = null;

  /** @param launchers programs that start another one, by their names; all others are the program */
  constructor(directory: string, launchers: ReadonlyMap<string, Launcher>) {
    this.#startDirectory = directory;
    this.#launchers = launchers;
    this.directory = directory;
  }

  /** @throws {SettingsError} one line: where it stands, why it cannot be taken, and what to type instead */
  read(): Program {
    try {
      return this.script('start');
    } catch (error) {
      if (!(error instanceof SettingsError)) throw error;
      const place = this.#trail.length === 0 ? '' : `${this.origin}: `;
      throw new SettingsError(`${place}${error.message}`, { cause: error });
    }
  }

  /** `the start script of package.json (npm run prod: node server.js)`. */
  get origin(): string {
    return `the start script of package.json (${this.#trail.map(({ line }) => shown(line)).join(' → ')})`;
  }

  get notes(): string[] {
    const before = [...new Set(this.#before)].join(', ');
    return [
      ...(before === ''
        ? []
        : [`not run by Motya: ${before}; run that before motya start and before each motya upgrade`]),
      ...this.#notes,
    ];
  }

  /** @param text may have words of the script in it: it becomes one line, for a terminal and for a comment of a unit file */
  note(text: string): void {
    const line = cutLine(text, NOTE);
    if (!this.#notes.includes(line)) this.#notes.push(line);
  }

  /** @param reason completes "the start script …: " @throws {SettingsError} */
  refuse(reason: string, instead = 'name the program itself: motya init PROGRAM -- ARGUMENTS'): never {
    throw new SettingsError(`${oneLine(reason)}; ${instead}`);
  }

  enter(directory: string): void {
    const path = absolutePath(this.directory, directory);
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) this.refuse(`${directory} is not a directory`);
    this.directory = path;
  }

  hasScript(name: string): boolean {
    return packageIn(this.directory)?.scripts.has(name) === true;
  }

  /** `npm run NAME -- ...args` in the present directory. */
  script(name: string, args: readonly string[] = []): Program {
    const { scripts } = packageIn(this.directory) ?? this.refuse(`there is no package.json in ${this.directory}`);
    const line = scripts.get(name);
    if (line === undefined) {
      if (name === 'start' && mainFile(this.directory, 'server.js') !== null)
        return this.launch(['node', 'server.js', ...args]);
      return this.refuse(`package.json has no script ${JSON.stringify(name)}`);
    }
    const key = `${this.directory}\n${name}`;
    if (this.#seen.has(key)) this.refuse(`the script ${JSON.stringify(name)} runs itself`);
    this.#seen.add(key);
    this.#trail.push({ name, line });
    const [before, behind] = [scripts.get(`pre${name}`), scripts.get(`post${name}`)];
    if (before !== undefined) this.#before.push(`the script pre${name} (${shown(before)})`);
    if (behind !== undefined) this.note(`not run by Motya: the script post${name} (${shown(behind)})`);
    return this.line(line, args);
  }

  /** A line for a shell, with more arguments for its last command. */
  line(line: string, args: readonly string[] = []): Program {
    const commands = read(line, (reason) => this.refuse(reason));
    const shell = new ShellVariables(this.env);
    for (const command of commands.slice(0, -1)) this.#passBy(command, shell);
    const unset = shell.unexported.join(', ');
    if (unset !== '') this.note(`not exported, so the program does not find it: ${unset}`);
    const last = commands.at(-1);
    if (last === undefined || last.words.length === 0) return this.refuse(`${JSON.stringify(line)} runs no program`);
    Object.assign(this.env, last.env);
    return this.launch([...last.words, ...args]);
  }

  /** A command that runs before the program. */
  #passBy(command: ShellCommand, shell: ShellVariables): void {
    const [name, directory] = command.words;
    if (name === 'cd' && directory !== undefined) this.enter(directory);
    else if (!shell.run(command)) this.#before.push(shown(command.text));
  }

  /** One command and its arguments. */
  launch(words: readonly string[]): Program {
    const [typed = '', ...args] = words;
    const path = absolutePath(this.directory, typed);
    const isOfBin = dirname(path).endsWith('/node_modules/.bin');
    const name = isOfBin || isAbsolute(typed) ? basename(path) : typed;
    const launcher = this.#launchers.get(name);
    if (launcher !== undefined) return launcher(args, this, name);
    return typed.includes('/') && !isOfBin
      ? this.#run({ path, isLocal: !isAbsolute(typed) }, typed, args)
      : this.installed(name, args);
  }

  /** A program by its name in node_modules/.bin or PATH. */
  installed(name: string, args: readonly string[]): Program {
    const found = findExecutable(name, this.directory);
    if (found !== null) {
      this.#service ??= name;
      return this.#run(found, name, args);
    }
    const missing = `${name} is not in node_modules/.bin, and not in PATH`;
    if (!hasPlugAndPlay(this.directory))
      return this.refuse(
        missing,
        'npm install what is missing, or name the program itself: motya init PROGRAM -- ARGUMENTS',
      );
    return this.refuse(
      `${missing}: Yarn's Plug'n'Play has no node_modules`,
      'say nodeLinker: node-modules in .yarnrc.yml',
    );
  }

  /** By what its first line says. */
  #run({ path, isLocal }: Executable, typed: string, args: readonly string[]): Program {
    if (!statSync(path, { throwIfNoEntry: false })?.isFile())
      return this.refuse(`${typed} is not there`, 'build it first, if it is built');
    const { file, interpreter } = interpreted(path);
    if (interpreter === null) return this.refuse(`${typed} is no Node program`);
    const [by = '', ...options] = interpreter;
    if (!this.#launchers.has(by)) return this.refuse(`${typed} is a script for ${by}, no Node program`);
    return this.launch([by, ...options, isLocal ? relative(this.directory, file) : file, ...args]);
  }

  /** What `node ...nodeArgs script ...args` runs. */
  program({ script, args, nodeArgs = [] }: Run): Program {
    const path = absolutePath(this.directory, script);
    const main = mainFile(this.directory, script);
    if (main === null) {
      const why = whyNotRunnable(path);
      if (why === 'no such file')
        return this.refuse(
          `${script} is not there`,
          'build it first, if it is built, or name the program itself: motya init PROGRAM -- ARGUMENTS',
        );
      return this.refuse(`${script} ${why}`);
    }
    const pm2 = whyPm2Settings(path);
    if (pm2 !== null) throw new SettingsError(`${script} ${pm2}`);
    return {
      service: this.#service ?? stemOf(main),
      script: isAbsolute(script) ? main : relative(this.#startDirectory, absolutePath(this.directory, main)),
      args,
      nodeArgs,
      env: this.env,
      cwd: relative(this.#startDirectory, this.directory),
      workers: this.workers,
    };
  }
}

function read(line: string, refuse: (reason: string) => never): ShellCommand[] {
  try {
    return readShellLine(line);
  } catch (error) {
    if (error instanceof SettingsError) return refuse(error.message);
    throw error;
  }
}

const shown = (text: string): string => cutLine(text, SHOWN);
