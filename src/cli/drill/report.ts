import { count, visible } from '../../base/units.js';
import type { DrillResult, LoadPlan, ProgressReporter } from './drill.js';
import type { MovedConnections } from './moved-connections.js';
import { FAILURES, type FailureKind, lostRequests } from './request-counts.js';
import type { Step } from './step.js';

/** Prints a drill: as text, or as one JSON object a line. */
export interface DrillReporter extends ProgressReporter {
  result(result: DrillResult): void;
}

/** All steps went as they should, and nothing was lost. */
export const passed = ({ steps }: DrillResult): boolean => steps.every(({ ok }) => ok);

const allLostRequests = ({ steps }: DrillResult): number => steps.reduce((sum, step) => sum + lostRequests(step), 0);
const sumOf = (steps: readonly Step[], of: (step: Step) => number): number =>
  steps.reduce((sum, step) => sum + of(step), 0);

export const jsonReporter: DrillReporter = {
  started: ({ places, ...loadPlan }) =>
    say({ listeners: places.map(({ key, speaks }) => ({ key, speaks })), ...loadPlan }),
  step: ({ longest, ...step }) => say({ ...step, longestMs: longest }),
  result(result) {
    const { steps, hints } = result;
    const answers = sumOf(steps, (step) => step.answers);
    const inside = sumOf(steps, (step) => step.inside);
    const { moved, stayed } = result.connections;
    say({ ok: passed(result), answers, lost: allLostRequests(result), inside, moved, stayed, hints });
  },
};

const say = (object: object): void => console.log(JSON.stringify(object));

const TITLE_WIDTH = 24;
const ANSWERS_WIDTH = 7;
const LONGEST_WIDTH = 5;

export const textReporter: DrillReporter = {
  started({ places, clients, paths, idle }: LoadPlan): void {
    const http = places.filter(({ speaks }) => speaks !== 'tcp').map(({ key, speaks }) => `${speaks} on ${key}`);
    const other = places.filter(({ speaks }) => speaks === 'tcp').map(({ key }) => key);
    if (http.length > 0) tell(`${count(clients, 'client')} ask for ${paths.join(' and ')}: ${http.join(', ')}`);
    if (other.length > 0) tell(`only connected to, since they speak no HTTP/1: ${other.join(', ')}`);
    if (idle.length > 0) tell(`not asked: ${idle.join(', ')}`);
  },
  step(step: Step): void {
    const { ok, title, answers, longest, inside, text, example } = step;
    const lost = lostRequests(step) === 0 ? '' : `${failuresOf(step)}${example === null ? '' : ` (${example})`}`;
    const killed = inside === 0 ? '' : `${inside} inside the killed process`;
    const figures = `${String(answers).padStart(ANSWERS_WIDTH)} answered, longest ${String(longest).padStart(LONGEST_WIDTH)} ms`;
    const rest = [lost, killed, text].filter((part) => part !== '').join('; ');
    tell(`${ok ? 'ok  ' : 'LOST'}  ${title.padEnd(TITLE_WIDTH)}${figures}${rest === '' ? '' : `; ${rest}`}`);
  },
  result(result: DrillResult): void {
    const { steps, hints } = result;
    const inside = sumOf(steps, (step) => step.inside);
    const lost = allLostRequests(result);
    const answers = count(
      sumOf(steps, (step) => step.answers),
      'answer',
    );
    if (inside > 0) {
      tell(
        `${count(inside, 'request')} inside a process that was killed: no server could answer these, so they do not count`,
      );
    }
    if (passed(result)) tell(`nothing was lost: ${answers}`);
    else if (lost > 0) tell(`${count(lost, 'request')} lost, beside ${answers}`);
    else tell(`not every step went as it should; no request was lost, ${answers}`);
    tell(connectionsText(result.connections));
    for (const hint of hints) tell(`hint: ${hint}`);
  },
};

const tell = (line: string): void => console.log(visible(line));

/** The connections of the old versions. */
function connectionsText({ moved, stayed }: MovedConnections): string {
  const reasons = Object.entries(stayed).map(([reason, number]) => `${number} ${reason}`);
  const others = reasons.length === 0 ? '' : `; could not: ${reasons.join(', ')}`;
  return `${count(moved, 'connection')} moved to the next version${others}`;
}

function failuresOf({ failures }: Step): string {
  const kinds = Object.entries(failures) as [FailureKind, number][];
  return kinds.map(([kind, number]) => `${number} ${FAILURES[kind]}`).join(', ');
}
