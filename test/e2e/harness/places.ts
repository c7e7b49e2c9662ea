/** Where a setting is wrong: in a file, or a flag or variable without one. */
export interface Place {
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  /** A key such as `services.web.workers`, a flag or a variable. */
  readonly key: string;
}

/** The places of the settings that a command complains about, a line each: `file:line:column: key: …` or `key: …`. */
export function placesIn(stderr: string): Place[] {
  return stderr
    .split('\n')
    .slice(0, -1)
    .map((text) => {
      const { file, line, column, key } =
        /^(?:(?<file>\S+):(?<line>\d+):(?<column>\d+): )?(?<key>[^\s:]+): \S/.exec(text)?.groups ?? {};
      if (key === undefined) throw new Error(`no place in ${JSON.stringify(text)}`);
      return file === undefined ? { key } : { file, line: Number(line), column: Number(column), key };
    });
}
