import { ACTIONS, type Action } from './inject.js';
import type { Case } from './matrix.js';

/** A row for each point that was tried, a column for each thing that went wrong there; Markdown. */
export function tableOf(outcomes: ReadonlyMap<Case, string>): string {
  const rows = new Map<string, Map<Action, string>>();
  for (const [{ side, point, nth, action }, outcome] of outcomes) {
    const name = `${side}: ${point}${nth === 1 ? '' : ` (${nth})`}`;
    const row = rows.get(name) ?? new Map<Action, string>();
    rows.set(name, row.set(action, outcome));
  }
  const head = ['', ...ACTIONS];
  const body = [...rows].map(([name, row]) => [name, ...ACTIONS.map((action) => row.get(action) ?? '')]);
  return [head, head.map(() => '---'), ...body].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
