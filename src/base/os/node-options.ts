/**
 * NODE_OPTIONS, as node reads it, belongs to the programs: what it loads, listens on and writes is theirs. Processes of Motya's own
 * run without it and carry it along in a variable that node does not know.
 */
export const SET_ASIDE = 'MOTYA_NODE_OPTIONS';

/** What NODE_OPTIONS is for the programs; undefined: nothing. */
export function programOptions(env: NodeJS.ProcessEnv): string | undefined {
  return env.NODE_OPTIONS || env[SET_ASIDE] || undefined;
}

/** The environment for a process of Motya's own. */
export function withOptionsAside(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, [SET_ASIDE]: __, ...rest } = env;
  const options = programOptions(env);
  return options === undefined ? rest : { ...rest, [SET_ASIDE]: options };
}

/** The words of NODE_OPTIONS: blanks part them, except in double quotes, where a backslash takes the next character as it is. */
export function splitOptions(options: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let isQuoted = false;
  for (let at = 0; at < options.length; at++) {
    const char = options[at] as string;
    if (char === '"') {
      isQuoted = !isQuoted;
    } else if (char === ' ' && !isQuoted) {
      if (word !== null) words.push(word);
      word = null;
    } else {
      if (char === '\\' && isQuoted) at++;
      word = (word ?? '') + (options[at] ?? '');
    }
  }
  return word === null ? words : [...words, word];
}

/** One word as {@link splitOptions} reads it. */
export const quoteOption = (word: string): string => `"${word.replace(/["\\]/g, '\\$&')}"`;

/** The name of an option without its value; node takes `_` for `-` in it. */
export const nameOf = (word: string): string => (word.split('=', 1)[0] as string).replaceAll(/(?<!^-?)_/g, '-');

/** What runs before everything that `--require` in a command line names. */
export const requires = (options: string): boolean =>
  splitOptions(options).some((word) => /^(-r|--require)$/.test(nameOf(word)));

/** Options that run code of the program, open its debugger, or write files and catch signals as it has asked for. */
const ACTIVE =
  /^(-r|--(require|import|loader|experimental-loader|(inspect|debug|watch|cpu-prof|heap-prof|heapsnapshot|report|redirect|trace-event|diagnostic).*))$/;

export const isActive = (options: string): boolean => splitOptions(options).some((word) => ACTIVE.test(nameOf(word)));
