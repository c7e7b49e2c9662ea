import { count } from '../base/units.js';

/** How the connections of a drain ended, for people. `ended`: by themselves; undefined: not known. */
export function drainText({ forced, ended = 0, moved }: { forced: number; ended?: number; moved: number }): string {
  if (forced === 0 && moved === 0) return 'every connection ended by itself';
  const parts = [
    ...(moved > 0 ? [`${count(moved, 'connection')} moved to the other generation`] : []),
    ...(ended > 0 ? [`${count(ended, 'connection')} ended`] : []),
    ...(forced > 0 ? [`${count(forced, 'connection')} closed by force`] : []),
  ];
  return parts.join(', ');
}
