import type { ShellCommand } from './shell-line.js';

const EXPORTED = /^([A-Za-z_]\w*)(?:=(.*))?$/s;

/** The variables of one line for sh(1): its commands see those that are exported, and the others end with the line. */
export class ShellVariables {
  readonly #env: Record<string, string>;
  readonly #own = new Map<string, string>();
  readonly #exported = new Set<string>();
  #exportsAll = false;

  /** @param env what is exported already; `run` adds to it */
  constructor(env: Record<string, string>) {
    this.#env = env;
  }

  /** Names of those that no command sees. */
  get unexported(): string[] {
    return [...this.#own.keys()];
  }

  /** Whether the command only sets variables or options of the shell: assignments, `export` and `set`. */
  run({ env, words }: ShellCommand): boolean {
    const [name, ...args] = words;
    if (name === undefined) {
      for (const [variable, value] of Object.entries(env)) this.#assign(variable, value);
      return true;
    }
    if (name === 'set') {
      // A variable that is set from here on is exported.
      for (const [at, arg] of args.entries()) {
        const option = arg === 'allexport' ? args[at - 1] : /^[-+][a-z]*a/.test(arg) ? arg : undefined;
        if (option !== undefined) this.#exportsAll = option.startsWith('-');
      }
      return true;
    }
    const exported = name === 'export' ? args.map((word) => EXPORTED.exec(word)) : [];
    if (exported.length === 0 || exported.includes(null)) return false;
    for (const [, variable = '', value = this.#own.get(variable)] of exported as RegExpExecArray[]) {
      if (value !== undefined) this.#env[variable] = value;
      this.#exported.add(variable);
      this.#own.delete(variable);
    }
    return true;
  }

  #assign(variable: string, value: string): void {
    if (this.#exportsAll || this.#exported.has(variable) || variable in this.#env) this.#env[variable] = value;
    else this.#own.set(variable, value);
  }
}
