import type { Seen } from './request-counts.js';

/** One step of a drill, and what the clients saw in it. */
export interface Step extends Seen {
  readonly step: 'steady' | 'upgrade' | 'killed' | 'broken' | 'sigterm';
  /** What was done, such as `upgrade 1 of 3`. */
  readonly title: string;
  /** It went as it should: no request was lost, and what should have happened did. */
  readonly ok: boolean;
  /** What happened, in words. */
  readonly text: string;
}
