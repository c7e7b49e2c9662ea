// @ts-check
// The status page: asks for status.json each second and shows it. No dependencies, no build step.

/** @typedef {import('../../status-document.js').Status} Status */
/** @typedef {import('../../history.js').GenerationRecord} GenerationRecord */

const EVERY_MS = 1000;
/** ms for an answer: the server gives a busy worker half a second. */
const ANSWER_MS = 3000;
/** Generations on the timeline: what fits on a screen. */
const SHOWN = 8;
/** Part of the timeline before the hand-over, while something drains. */
const MARGIN = 0.15;

const READY = new Set(['probation', 'serving', 'finding', 'offering', 'awaiting', 'pausing', 'committed', 'resuming']);

/** What each phase means, for readers who did not write the program. */
const PHASES = /** @type {Record<string, string>} */ ({
  starting: 'starting',
  serving: 'serving',
  probation: 'serving · on probation',
  finding: 'serving · looks for a successor',
  offering: 'serving · hands its listeners over',
  awaiting: 'serving · successor boots',
  pausing: 'hand-over',
  committed: 'hand-over',
  resuming: 'takes the hand-over back',
  standby: 'stands by',
  draining: 'drains',
  stopping: 'stops',
});

/** @param {string} id */
const at = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * An element with a class and children; texts stay texts.
 * @param {string} tag
 * @param {string} style
 * @param {...(Node | string)} children
 */
function element(tag, style, ...children) {
  const made = document.createElement(tag);
  if (style !== '') made.className = style;
  made.append(...children);
  return made;
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 */
function drawing(tag, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

/** @param {number} ms */
function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const hours = Math.floor(seconds / 3600);
  if (hours < 48) return `${hours} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** @param {number | null} bytes */
const megabytes = (bytes) => (bytes === null ? '–' : `${Math.round(bytes / 1048576)} MB`);
/** @param {number} count @param {string} one */
const counted = (count, one) => `${count} ${one}${count === 1 ? '' : 's'}`;
/** @param {string} iso */
const clock = (iso) => new Date(iso).toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium' });

/** @param {Record<string, number>} protocols */
function protocolsOf(protocols) {
  const open = Object.entries(protocols).filter(([, count]) => count > 0);
  return open.map(([name, count]) => `${count} ${name}`).join(', ');
}

/** @param {Status} status */
function showHead(status) {
  const { name, generation, pid, uptime, phase, successor, version, node, listeners } = status;
  document.title = `${name} · generation ${generation}`;
  at('name').textContent = name;
  const waits = successor === null ? '' : `; pid ${successor.pid} waits to take over`;
  at('line').textContent = `Generation ${generation}, pid ${pid}, up ${duration(uptime)}${waits}`;
  at('phase').className = READY.has(phase) ? 'pill serves' : 'pill';
  const said = PHASES[phase] ?? phase;
  // Only when it changes, or a screen reader would say it each second.
  if (at('phase').textContent !== said) at('phase').textContent = said;
  at('about').textContent = `motya ${version}, Node ${node}, ${counted(listeners.length, 'listener')}`;
}

/**
 * What the timeline shows: all generations until now; while one drains, only the hand-over and the time until its end.
 * @param {Status} status @param {number} now
 */
function spanOf({ draining, generations }, now) {
  const shown = generations.slice(-SHOWN);
  const handed = shown.filter((one) => draining.some(({ generation }) => generation === one.generation));
  const begins = (handed.length > 0 ? handed : shown).map(({ startedAt, handedOverAt }) =>
    Date.parse((handed.length > 0 ? handedOverAt : null) ?? startedAt),
  );
  const to = Math.max(now, ...draining.map(({ deadline }) => (deadline === null ? now : Date.parse(deadline))));
  const from = Math.min(now - 1000, ...begins);
  return { shown, from: handed.length > 0 ? from - (to - from) * MARGIN : from, to };
}

/** @param {Status} status @param {number} now */
function showTimeline(status, now) {
  const { shown, from, to } = spanOf(status, now);
  at('timeline').replaceChildren(...shown.map((one) => generationRow(one, status, { from, to, now })));
  const end = to > now ? `in ${duration(to - now)}` : 'now';
  at('timeline-span').replaceChildren(element('span', '', `${duration(now - from)} ago`), element('span', '', end));
}

/** @param {GenerationRecord} one @param {Status} status @param {{ from: number, to: number, now: number }} span */
function generationRow(one, status, { from, to, now }) {
  const drain = status.draining.find(({ generation }) => generation === one.generation);
  const isCurrent = one.generation === status.generation;
  const live = Date.parse(one.liveAt);
  const handed = one.handedOverAt === null ? (isCurrent ? now : live) : Date.parse(one.handedOverAt);
  const ended = one.drainedAt === null ? (drain === undefined ? handed : now) : Date.parse(one.drainedAt);
  const svg = drawing('svg', { viewBox: '0 0 1000 16', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  const placeOf = (/** @type {number} */ time) => ((Math.min(Math.max(time, from), to) - from) / (to - from)) * 1000;
  svg.append(drawing('rect', { class: 'track', x: 0, y: 7, width: 1000, height: 2 }));
  /** @param {string} style @param {number} begin @param {number} end */
  const bar = (style, begin, end) => {
    if (end <= begin || end < from) return;
    // A second in an hour is to be seen too.
    const width = Math.max(3, placeOf(end) - placeOf(begin));
    svg.append(drawing('rect', { class: style, x: Math.min(placeOf(begin), 1000 - width), y: 1, width, height: 14 }));
  };
  bar('boots', Date.parse(one.startedAt), live);
  bar('serves', live, handed);
  bar('drains', handed, ended);
  if (drain !== undefined && drain.deadline !== null) bar('left', now, Date.parse(drain.deadline));
  if (to > now) svg.append(drawing('rect', { class: 'now', x: placeOf(now), y: 0, width: 2, height: 16 }));
  const moved = one.moved ? `, ${counted(one.moved, 'connection')} moved on` : '';
  const forced = one.forced ? `, ${one.forced} closed by force` : '';
  const words =
    drain !== undefined
      ? `pid ${one.pid} ${(drain.probation ?? null) === null ? 'drains' : 'can serve again, with'} ${counted(drain.connections, 'connection')}`
      : isCurrent
        ? `pid ${one.pid} serves since ${clock(one.liveAt)}`
        : `pid ${one.pid} served ${duration(handed - live)}${moved}${forced}`;
  return element('li', '', element('strong', '', String(one.generation)), svg, element('span', 'words quiet', words));
}

/**
 * What a drain waits for, where that has different times.
 * @param {Status['draining'][number]['waits']} waits
 */
function waitsOf(waits) {
  const open = Object.entries(waits ?? {}).filter(([, { connections }]) => connections > 0);
  const isOne = new Set(open.map(([, { deadline }]) => Math.round(Date.parse(deadline) / 1000))).size < 2;
  if (isOne) return '';
  const words = open.map(
    ([kind, { connections, left }]) => `${connections} ${kind} ${left > 0 ? `for ${duration(left)}` : 'closing'}`,
  );
  return `; waits for ${words.join(', ')}`;
}

/** How long each drain was to last when it was first seen: the bar is full then. */
const whole = /** @type {Map<number, number>} */ (new Map());

/** @param {Status} status */
function showDraining({ draining }) {
  at('draining-section').hidden = draining.length === 0;
  for (const pid of whole.keys()) if (!draining.some((one) => one.pid === pid)) whole.delete(pid);
  const rows = draining.map(({ pid, generation, connections, protocols, waits = null, left, probation = null }) => {
    const all = Math.max(whole.get(pid) ?? 0, left ?? 0, 1);
    whole.set(pid, all);
    const bar = /** @type {HTMLProgressElement} */ (element('progress', ''));
    bar.max = all;
    bar.value = left ?? 0;
    bar.setAttribute('aria-label', `time left for generation ${generation}`);
    const kinds = protocols === null ? '' : protocolsOf(protocols);
    const what = `Generation ${generation} (pid ${pid}): ${counted(connections, 'connection')}`;
    const time =
      probation !== null
        ? `; it can serve again for ${duration(probation)}, then drains`
        : left === null
          ? ''
          : left > 0
            ? `, ${duration(left)} left`
            : ', closing';
    return element(
      'li',
      '',
      what,
      kinds === '' ? '' : ` (${kinds})`,
      time,
      probation === null ? waitsOf(waits) : '',
      bar,
    );
  });
  at('draining').replaceChildren(...rows);
}

/** @param {Status} status */
function showWorkers({ services }) {
  const rows = services.flatMap(({ name, workers }) =>
    workers.map((worker) => {
      const { index, pid, state, answers, connections, protocols, memory, eventLoopDelay, restarts, uptime } = worker;
      const kinds = protocolsOf(protocols);
      const delay = eventLoopDelay === null ? '–' : `${eventLoopDelay.p99.toFixed(1)} ms`;
      const cells = /** @type {[string, string | Node, string?][]} */ ([
        [
          'Worker',
          element('span', '', `${name} ${index}`, element('span', 'quiet', pid === null ? '' : ` pid ${pid}`)),
        ],
        ['State', answers || pid === null ? state : element('span', 'failed', `${state}, busy: does not answer`)],
        [
          'Connections',
          element('span', '', String(connections), element('span', 'quiet', kinds === '' ? '' : ` (${kinds})`)),
          'number',
        ],
        ['Memory', megabytes(memory), 'number'],
        ['Loop delay p99', delay, 'number'],
        ['Restarts', String(restarts), 'number'],
        ['Up', uptime === null ? '–' : duration(uptime), 'number'],
      ]);
      return element('tr', '', ...cells.map(([label, content, style = '']) => cell(label, content, style)));
    }),
  );
  at('workers').replaceChildren(...rows);
}

/** @param {string} label @param {string | Node} content @param {string} style */
function cell(label, content, style) {
  const made = element('td', style, content);
  made.dataset.label = label;
  return made;
}

/** @param {Status} status */
function showUpgrades({ upgrades }) {
  const rows = upgrades.toReversed().map(({ ok, at: when, code, text, ms, gapMs, generation }) => {
    const outcome = element(
      'span',
      ok ? 'ok' : 'failed',
      ok ? `✓ generation ${generation}` : `✗ generation ${generation}: ${code}`,
    );
    const took = ms === null ? '' : `, ${duration(ms)}`;
    const gap = gapMs === null ? '' : `, handed over in ${gapMs.toFixed(1)} ms`;
    const row = element('li', '', outcome, element('div', 'quiet', `${clock(when)}${took}${gap}`));
    if (!ok) row.append(element('div', '', text));
    return row;
  });
  at('upgrades').replaceChildren(...(rows.length > 0 ? rows : [element('li', 'quiet', 'None yet.')]));
}

/** @param {string | null} text */
function showTrouble(text) {
  const trouble = at('trouble');
  trouble.hidden = text === null;
  if (text !== null && trouble.textContent !== text) trouble.textContent = text;
}

let newest = 0;
let lastSeen = /** @type {Date | null} */ (null);

async function look() {
  const response = await fetch('status.json', { signal: AbortSignal.timeout(ANSWER_MS), cache: 'no-store' });
  if (!response.ok) throw new Error(`status ${response.status}`);
  const status = /** @type {Status} */ (await response.json());
  // A connection that was open before the hand-over still leads to the generation before.
  if (status.generation < newest && status.phase === 'draining') return;
  newest = status.generation;
  lastSeen = new Date();
  showTrouble(null);
  showHead(status);
  showTimeline(status, Date.now());
  showDraining(status);
  showWorkers(status);
  showUpgrades(status);
}

async function run() {
  for (;;) {
    try {
      if (!document.hidden) await look();
    } catch (error) {
      const since = lastSeen === null ? '' : `; what is below was so at ${lastSeen.toLocaleTimeString()}`;
      showTrouble(`The server cannot be reached (${error instanceof Error ? error.message : error})${since}.`);
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

run().catch((error) => showTrouble(String(error)));
