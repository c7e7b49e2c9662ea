import { type Defect, describeDefect } from '../base/background.js';
import { codeOf } from '../base/errors.js';
import type { Logger } from './log.js';

/** One line, with the stack for the report to us. */
export function logDefect(log: Logger, defect: Defect): void {
  const { during, error } = defect;
  log.error(describeDefect(defect), { event: 'defect', code: codeOf(error), during, stack: error.stack });
}
