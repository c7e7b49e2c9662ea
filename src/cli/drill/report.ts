import { count, visible } from '../../base/units.js';
import type { Audience, Opening, Verdict } from './drill.js';
import type { Step } from './step.js';
import { FAILURES, type FailureKind, lostIn } from './tally.js';

/** How a drill is told: to people, or as one JSON object a line. */
export interface DrillReport extends Audience {
  verdict(verdict: Verdict): void;
}

/** All steps went as they should, and nothing was lost. */
export const passed = ({ steps }: Verdict): boolean => steps.every(({ ok }) => ok);

const lostInAll = ({ steps }: Verdict): number => steps.reduce((sum, step) => sum + lostIn(step), 0);
const sumOf = (steps: readonly Step[], of: (step: Step) => number): number =>
  steps.reduce((sum, step) => sum + of(step), 0);

export const jsonReport: DrillReport = {
  begins: ({ places, ...opening }) =>
    say({ listeners: places.map(({ key, speaks }) => ({ key, speaks })), ...opening }),
  step: ({ longest, ...step }) => say({ ...step, longestMs: longest }),
  verdict(verdict) {
    const { steps, hints } = verdict;
    const answers = sumOf(steps, (step) => step.answers);
    const inside = sumOf(steps, (step) => step.inside);
    say({ ok: passed(verdict), answers, lost: lostInAll(verdict), inside, hints });
  },
};

const say = (object: object): void => console.log(JSON.stringify(object));

const TITLE_WIDTH = 24;
const ANSWERS_WIDTH = 7;
const LONGEST_WIDTH = 5;

export const peopleReport: DrillReport = {
  begins({ places, clients, paths, idle }: Opening): void {
    const http = places.filter(({ speaks }) => speaks !== 'tcp').map(({ key, speaks }) => `${speaks} on ${key}`);
    const other = places.filter(({ speaks }) => speaks === 'tcp').map(({ key }) => key);
    if (http.length > 0) tell(`${count(clients, 'client')} ask for ${paths.join(' and ')}: ${http.join(', ')}`);
    if (other.length > 0) tell(`only connected to, since they speak no HTTP/1: ${other.join(', ')}`);
    if (idle.length > 0) tell(`not asked: ${idle.join(', ')}`);
  },
  step(step: Step): void {
    const { ok, title, answers, longest, inside, text, example } = step;
    const lost = lostIn(step) === 0 ? '' : `${failuresOf(step)}${example === null ? '' : ` (${example})`}`;
    const killed = inside === 0 ? '' : `${inside} inside the killed process`;
    const figures = `${String(answers).padStart(ANSWERS_WIDTH)} answered, longest ${String(longest).padStart(LONGEST_WIDTH)} ms`;
    const rest = [lost, killed, text].filter((part) => part !== '').join('; ');
    tell(`${ok ? 'ok  ' : 'LOST'}  ${title.padEnd(TITLE_WIDTH)}${figures}${rest === '' ? '' : `; ${rest}`}`);
  },
  verdict(verdict: Verdict): void {
    const { steps, hints } = verdict;
    const inside = sumOf(steps, (step) => step.inside);
    const lost = lostInAll(verdict);
    const answers = count(
      sumOf(steps, (step) => step.answers),
      'answer',
    );
    if (inside > 0) {
      tell(
        `${count(inside, 'request')} inside a process that was killed: nobody can answer those, so they do not count`,
      );
    }
    if (passed(verdict)) tell(`nothing was lost: ${answers}`);
    else if (lost > 0) tell(`${count(lost, 'request')} lost, beside ${answers}`);
    else tell(`not every step went as it should; no request was lost, ${answers}`);
    for (const hint of hints) tell(`hint: ${hint}`);
  },
};

const tell = (line: string): void => console.log(visible(line));

function failuresOf({ failures }: Step): string {
  const kinds = Object.entries(failures) as [FailureKind, number][];
  return kinds.map(([kind, number]) => `${number} ${FAILURES[kind]}`).join(', ');
}
