/** What a program listens on, as the variable that tells it; clients go to each while everything happens. */
export type Place = 'PORT' | 'PORT2' | 'UDP' | 'SOCKET';

/**
 * How its life under Motya goes. `serves`: each upgrade passes, and no client notices. `refused`: it does not start, and says
 * why. `rejected`: it serves, and the upgrade is refused or rolled back.
 */
export type Outcome = 'serves' | 'refused' | 'rejected';

export interface Row {
  /** File of test/fixtures/programs. */
  readonly script: string;
  /** What makes it another program than the other rows of the script. */
  readonly env?: Readonly<Record<string, string>>;
  readonly places: readonly Place[];
  readonly outcome: Outcome;
  readonly workers?: number;
  /** Lines of the service in motya.yaml. */
  readonly service?: readonly string[];
  /** Environment of every command, as of a shell. */
  readonly shell?: Readonly<Record<string, string>>;
  /** Clients that take long, so that they are inside when a generation drains. */
  readonly slow?: boolean;
  /** Its new version crashes on probation, and what is inside it is lost. */
  readonly crashes?: boolean;
  /** ms, when the default is too short to see the clients of a listener that is left out. */
  readonly probation?: number;
  /** What is to be mended first; left out until then. */
  readonly pending?: string;
  /** Times that it says that it listens, before clients come: closing a listener resets those in its queue, as it does in plain Node. */
  readonly listens?: number;
  /** Asked once after the start. */
  readonly first?: string;
}

/** Every pattern once; where workers share what the pattern is about, with two of them. */
export const TABLE: readonly Row[] = [
  { script: 'one-port.mjs', places: ['PORT'], outcome: 'serves', workers: 2 },
  { script: 'two-ports.mjs', places: ['PORT', 'PORT2'], outcome: 'serves', slow: true },
  { script: 'two-ports.mjs', places: ['PORT', 'PORT2'], outcome: 'serves', workers: 2 },
  { script: 'nested-ports.mjs', places: ['PORT', 'PORT2'], outcome: 'serves', workers: 2 },
  { script: 'slow-boot.mjs', places: ['PORT'], outcome: 'serves' },
  { script: 'startup-port.mjs', places: ['PORT'], outcome: 'serves', workers: 2 },

  // Late listeners: before the end of the probation, and after it.
  { script: 'late-port.mjs', env: { LATE: '150' }, places: ['PORT', 'PORT2'], outcome: 'serves', workers: 2 },
  { script: 'late-port.mjs', env: { LATE: '1200' }, places: ['PORT', 'PORT2'], outcome: 'serves' },
  { script: 'late-port.mjs', env: { LATE: '1200' }, places: ['PORT', 'PORT2'], outcome: 'serves', workers: 2 },
  { script: 'signal-ready.mjs', service: ['ready: signal'], places: ['PORT', 'PORT2'], outcome: 'serves' },

  // Pickers.
  { script: 'picks-by-listen.mjs', places: ['PORT'], outcome: 'serves' },
  {
    script: 'picks-by-listen.mjs',
    places: ['PORT'],
    outcome: 'serves',
    workers: 2,
  },
  { script: 'picks-then-pauses.mjs', env: { PAUSE: '0' }, places: ['PORT'], outcome: 'serves' },
  { script: 'picks-then-pauses.mjs', env: { PAUSE: '100' }, places: ['PORT'], outcome: 'serves', workers: 2 },
  { script: 'picks-then-pauses.mjs', env: { PAUSE: '900' }, places: ['PORT'], outcome: 'serves' },
  { script: 'picks-by-connect.mjs', places: ['PORT'], outcome: 'serves', workers: 2 },
  { script: 'picks-the-next.mjs', places: ['PORT'], outcome: 'serves', workers: 2 },
  { script: 'narrows.mjs', places: ['PORT'], outcome: 'serves' },
  { script: 'narrows.mjs', places: ['PORT'], outcome: 'serves', workers: 2 },
  { script: 'udp-rebinds.mjs', places: ['UDP'], outcome: 'serves' },

  // Close, and listen again.
  { script: 'relistens.mjs', places: ['PORT'], outcome: 'serves', workers: 2 },
  { script: 'relistens-later.mjs', env: { LATE: '50' }, places: ['PORT', 'PORT2'], outcome: 'serves', listens: 3 },

  // Other sockets.
  { script: 'unix-socket.mjs', places: ['SOCKET'], outcome: 'serves', workers: 2, slow: true },
  { script: 'udp.mjs', places: ['UDP'], outcome: 'serves', workers: 2 },
  { script: 'any-port.mjs', places: ['PORT'], outcome: 'serves', workers: 2 },
  { script: 'both-families.mjs', places: ['PORT'], outcome: 'serves' },
  { script: 'exclusive.mjs', places: ['PORT'], outcome: 'serves', workers: 2 },

  // What lives longer than a request, and what is done in one.
  { script: 'events.mjs', places: ['PORT'], outcome: 'serves', slow: true },
  { script: 'closes-at-sigterm.mjs', places: ['PORT', 'PORT2'], outcome: 'serves', slow: true },
  {
    script: 'ports-in-requests.mjs',
    places: ['PORT'],
    outcome: 'serves',
    slow: true,
  },
  { script: 'own-backend.mjs', places: ['PORT', 'PORT2'], outcome: 'serves', slow: true },
  { script: 'opens-when-asked.mjs', first: '/open', places: ['PORT', 'PORT2'], outcome: 'rejected', probation: 1500 },

  // Preloads with a port of their own.
  {
    script: 'one-port.mjs',
    service: ['nodeArgs: [--require, ./metrics.cjs]'],
    places: ['PORT', 'PORT2'],
    outcome: 'serves',
  },
  {
    script: 'one-port.mjs',
    service: ['nodeArgs: [--import, ./metrics.cjs]'],
    places: ['PORT', 'PORT2'],
    outcome: 'serves',
  },
  {
    script: 'one-port.mjs',
    shell: { NODE_OPTIONS: '--require ./metrics.cjs' },
    places: ['PORT', 'PORT2'],
    outcome: 'serves',
  },

  // Other processes and threads.
  { script: 'cluster.cjs', places: ['PORT'], outcome: 'serves', slow: true },
  { script: 'cluster-with-metrics.cjs', places: ['PORT', 'PORT2'], outcome: 'serves' },
  { script: 'wrapper.cjs', places: ['PORT'], outcome: 'serves' },
  { script: 'wrapper-with-pipe.cjs', places: ['PORT'], outcome: 'serves', workers: 2 },
  { script: 'helper-with-port.cjs', places: ['PORT', 'PORT2'], outcome: 'serves' },
  { script: 'plain-helper.mjs', places: ['PORT', 'PORT2'], outcome: 'rejected' },
  { script: 'threads.cjs', places: ['PORT'], outcome: 'refused' },
  { script: 'main-and-thread.cjs', places: ['PORT', 'PORT2'], outcome: 'rejected', crashes: true },
];

export function titleOf({ script, env = {}, workers = 1, service = [], shell = {} }: Row): string {
  const with_ = [...Object.entries({ ...env, ...shell }).map(([name, value]) => `${name}=${value}`), ...service];
  return [script, ...with_, ...(workers > 1 ? [`${workers} workers`] : [])].join(', ');
}
