import { count } from '../base/units.js';

/** A listener that the new version has not asked for. */
export interface RemovedListener {
  readonly key: string;
  /** Connections that are open on it. */
  readonly open: number;
  /** Connections (datagrams) that have come in the `ms` before. */
  readonly accepted: number;
  readonly ms: number;
}

/** As `tcp://[::]:27020: 14 open connections, 3 new a second`. */
export function removedText({ key, open, accepted, ms }: RemovedListener): string {
  const rate = (accepted * 1000) / Math.max(1, ms);
  const news = rate >= 1 ? `${Math.round(rate)} new a second` : `${accepted} new in ${(ms / 1000).toFixed(1)} s`;
  return `${key}: ${count(open, 'open connection')}, ${news}`;
}
