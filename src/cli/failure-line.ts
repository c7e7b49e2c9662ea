import type { Code } from '../base/error-catalog.js';

/**
 * What stderr says of a failure: the code ends the first line, so a script finds it whatever the sentence is. The lines after it are
 * details, such as the other mistakes of a settings file.
 */
export function withCode(text: string, code: Code): string {
  const [first = '', ...rest] = text.split('\n');
  // Before the colon of a list.
  return [first.replace(/:?$/, (colon) => ` (${code})${colon}`), ...rest].join('\n');
}

export const printFailure = (text: string, code: Code): void => console.error(`motya: ${withCode(text, code)}`);
