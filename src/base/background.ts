import { codeOf, reasonOf } from './errors.js';

/** ms for which the same defect is only counted: one in a callback of the event loop may occur thousands of times a second. */
const DEFECT_REPEAT_MS = 10_000;

/** A failure that no code expects: a defect of Motya. The process goes on. */
export interface Defect {
  /** What failed, for example `the status line`. */
  readonly during: string;
  readonly error: Error;
  /** What failed was to lead to the end of an instance, which now cannot end by itself. */
  readonly leadsToTheEnd: boolean;
  /** How often the same defect has occurred unreported since it was reported last. */
  readonly repeated: number;
}

/** @returns whether it has told of the defect */
type Listener = (defect: Defect) => boolean;

const listeners = new Set<Listener>();
let last = { key: '', at: Number.NEGATIVE_INFINITY, repeated: 0 };

/** See {@link Defect}. */
type Consequence = Partial<Pick<Defect, 'leadsToTheEnd'>>;

/** Owns a promise that no code waits for: if it rejects, this is reported as a defect, and the process goes on. */
export function inBackground(during: string, work: Promise<unknown>, consequence: Consequence = {}): void {
  work.catch((error: unknown) => reportDefect(during, error, consequence));
}

/** Does the work at once, and then every `ms`; each time {@link inBackground}. @returns its timer */
export function repeatInBackground(during: string, ms: number, work: () => Promise<unknown>): NodeJS.Timeout {
  const once = (): void => inBackground(during, work());
  once();
  return setInterval(once, ms);
}

/** Reports a defect to all listeners. If none of them tells of it, it becomes a warning of the process, on stderr. */
export function reportDefect(during: string, thrown: unknown, { leadsToTheEnd = false }: Consequence = {}): void {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const key = `${during} ${error.stack}`;
  const isRepeated = key === last.key && performance.now() - last.at < DEFECT_REPEAT_MS;
  if (isRepeated) {
    last.repeated += 1;
    return;
  }
  const defect = { during, error, leadsToTheEnd, repeated: key === last.key ? last.repeated : 0 };
  last = { key, at: performance.now(), repeated: 0 };
  const told = [...listeners].map((listener) => {
    try {
      return listener(defect);
    } catch (failure) {
      // Thrown here it would be a rejection again, and so on without an end.
      warn({ during: 'a listener for defects', error: failure as Error, leadsToTheEnd: false, repeated: 0 });
      return false;
    }
  });
  if (!told.includes(true)) warn(defect);
}

/** @returns removes the listener */
export function onDefect(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** One line for a person. */
export function describeDefect({ during, error, repeated }: Defect): string {
  const times = repeated === 0 ? '' : ` (and ${repeated} times before)`;
  return `a defect of Motya, please report it: ${during}: ${reasonOf(error)}${times}`;
}

function warn(defect: Defect): void {
  const { error } = defect;
  process.emitWarning(describeDefect(defect), { type: 'MotyaDefect', code: codeOf(error), detail: error.stack ?? '' });
}
