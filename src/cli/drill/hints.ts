import { longestOf } from '../../base/drain-kinds.js';
import { count, duration } from '../../base/units.js';
import type { Settings } from '../../config/settings.js';
import { DRILL_STALL_MS } from './drill-limits.js';
import { lostRequests } from './request-counts.js';
import type { LogLine, Seen } from './sandbox-instance.js';
import type { Step } from './step.js';

/** What the hints are derived from. */
export interface Evidence {
  readonly steps: readonly Step[];
  /** Until the program is broken on purpose. */
  readonly log: readonly LogLine[];
  readonly programCalls: readonly Seen[];
  readonly settings: Settings;
}

/** What the program itself does that clients notice, and what to do instead: a sentence or two each. */
export function hintsFor(evidence: Evidence): string[] {
  return [exits, closes, crashes, drains, slowStarts, errors].flatMap((look) => look(evidence));
}

const places = (programCalls: readonly Seen[]): string =>
  [...new Set(programCalls.map(({ place }) => place))].join(', ');

function exits({ steps, programCalls }: Evidence): string[] {
  const onSigterm = programCalls.filter(({ what, afterSigterm }) => what === 'exit' && afterSigterm);
  const others = programCalls.filter(({ what, afterSigterm }) => what === 'exit' && !afterSigterm);
  const isCut = steps.some((step) => step.step === 'sigterm' && lostRequests(step) > 0);
  const hints: string[] = [];
  if (onSigterm.length > 0 && isCut) {
    const how = 'close the server instead, and let the process end by itself when the last answer is out';
    hints.push(
      `the program calls process.exit on SIGTERM (${places(onSigterm)}): whatever sends it that signal cuts off the requests inside it; ${how}`,
    );
  } else if (isCut) {
    hints.push('on SIGTERM the program closes connections on which a request has begun; let it finish them first');
  }
  if (others.length > 0) {
    hints.push(`the program calls process.exit while it serves (${places(others)}): all requests inside it are lost`);
  }
  return hints;
}

function closes({ steps, programCalls }: Evidence): string[] {
  const closed = programCalls.filter(({ what, afterSigterm }) => what === 'close' && !afterSigterm);
  if (closed.length === 0 || steps.every((step) => lostRequests(step) === 0)) return [];
  return [
    `the program closes its server by itself (${places(closed)}): from then on clients are refused; leave that to Motya, which moves the listener to the next version`,
  ];
}

function crashes({ log }: Evidence): string[] {
  const ends = log.filter(({ event }) => event === 'worker-exit');
  if (ends.length === 0) return [];
  const reason = String(ends[0]?.reason);
  const times = ends.length === 1 ? 'once' : `${ends.length} times`;
  // A signal comes from somewhere else: kill, or the kernel for want of memory.
  const how = reason.startsWith('signal') ? `was ended ${times} from outside` : `ended ${times} by itself`;
  return [`a worker ${how} (${reason}): what was inside it is lost`];
}

function drains({ log, settings }: Evidence): string[] {
  const longest = Math.max(...settings.services.map(({ drain }) => longestOf(drain)));
  const forced = log
    .filter(({ event }) => event === 'drained')
    .reduce((most, line) => Math.max(most, Number(line.forced)), 0);
  const late = log.some(({ event, ms }) => event === 'drained' && Number(ms) >= longest);
  const what = `the drain timeout (${duration(longest)})`;
  if (forced > 0) {
    return [
      `${count(forced, 'connection')} did not end within ${what} and ${forced === 1 ? 'was' : 'were'} closed by force: end long answers in onDrain(), or give them more time with --drain-timeout`,
    ];
  }
  return late ? [`the old version is not done within ${what}: does an onDrain() callback wait for something?`] : [];
}

function slowStarts({ steps }: Evidence): string[] {
  const usual = steps.find(({ step }) => step === 'steady')?.longest ?? 0;
  const longest = Math.max(0, ...steps.filter(({ step }) => step === 'upgrade').map((step) => step.longest));
  if (longest < usual + DRILL_STALL_MS) return [];
  return [
    `a new version is slow to answer at first (up to ${longest} ms; ${usual} ms before the upgrades): let it warm up before it listens, or say that it is ready with ready() (--ready signal)`,
  ];
}

function errors({ steps }: Evidence): string[] {
  const isHit = steps.some(({ step, failures }) => step !== 'steady' && (failures.status5xx ?? 0) > 0);
  if (!isHit) return [];
  return [
    'the program answers with status 5xx around upgrades: let it listen, or say ready() (--ready signal), only when what it needs is there, and keep that until it has drained',
  ];
}
