import type { z } from 'zod';
import { suggestion } from '../base/suggestion.js';
import { keysAt } from './settings-schema.js';

type Path = readonly PropertyKey[];

/** Where a part of the settings was written. */
export interface Place {
  /** `file:line:column`, a flag, a variable, a script as it was typed; '' when unknown. */
  readonly text: string;
  /** It names the part by itself: the path beside it would name it twice. */
  readonly names: boolean;
}
export type Locate = (path: Path, part: 'key' | 'value') => Place;

/** One thing that is wrong with settings. */
export interface Problem {
  readonly path: Path;
  /** What to point at. */
  readonly part: 'key' | 'value';
  /** Completes "<path>: …". */
  readonly text: string;
}

/** The problems in what the schema says of `input`. */
export function problemsOf(issues: readonly z.core.$ZodIssue[], input: unknown): Problem[] {
  return issues.flatMap((issue) => problemsOfIssue(issue, [], input));
}

function problemsOfIssue(issue: z.core.$ZodIssue, around: Path, input: unknown): Problem[] {
  const path = [...around, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    const allowed = keysAt(path);
    return issue.keys.map((key) => ({
      path: [...path, key],
      part: 'key',
      text: `unknown key; allowed: ${allowed.join(', ')}${suggestion(key, allowed)}`,
    }));
  }
  if (issue.code === 'invalid_key') {
    return issue.issues.map((inner) => ({ path, part: 'key', text: `the name ${inner.message}` }));
  }
  const value = valueAt(input, path);
  if (issue.code === 'invalid_union') {
    // The alternative whose type fits knows what is wrong; that the others do not fit says nothing.
    const fitting = issue.errors.find(
      (branch) => !branch.some((i) => i.code === 'invalid_type' && i.path.length === 0),
    );
    if (fitting !== undefined && typeof value === 'object') {
      return fitting.flatMap((inner) => problemsOfIssue(inner, path, input));
    }
    const [only, ...others] = issue.errors.filter((branch) => branch.every((inner) => inner.code === 'custom'));
    if (only?.[0] !== undefined && others.length === 0)
      return [{ path, part: 'value', text: `${only[0].message}${given(value, path)}` }];
  }
  if (value === undefined && issue.code !== 'custom')
    return [{ path, part: 'key', text: `missing; it ${issue.message}` }];
  const options = issue.code === 'invalid_value' ? issue.values.map(String) : [];
  const meant = typeof value === 'string' ? suggestion(value, options) : '';
  return [{ path, part: 'value', text: `${issue.message}${given(value, path)}${meant}` }];
}

/** The value as it would be typed; nothing for whole objects and lists, and for what may be a secret. */
function given(value: unknown, path: Path): string {
  if (value === undefined || (typeof value === 'object' && value !== null)) return '';
  if (path[0] === 'services' && path[2] === 'env') return '';
  if (path[0] === 'log' && path[3] === 'options') return '';
  const shown = JSON.stringify(value);
  return `, not ${shown.length > 60 ? `${shown.slice(0, 57)}…` : shown}`;
}

export function valueAt(input: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (inside, step) =>
      typeof inside === 'object' && inside !== null ? (inside as Record<PropertyKey, unknown>)[step] : undefined,
    input,
  );
}

/** One line for each problem, in the order of the file: `motya.yaml:12:7: services.web.worker: unknown key; …`. */
export function linesOf(problems: readonly Problem[], locate: Locate): string {
  const lines = problems.map(({ path, part, text }) => {
    const place = locate(path, part);
    const words = [place.text, place.names ? '' : path.join('.'), text].filter((word) => word !== '');
    return { place: place.text, line: words.join(': ') };
  });
  lines.sort((a, b) => a.place.localeCompare(b.place, 'en', { numeric: true }));
  // A flag that is wrong for every service is one problem.
  return [...new Set(lines.map(({ line }) => line))].join('\n');
}
