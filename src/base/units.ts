/** How numbers are told to people: two figures are enough. */

/** `340 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. @param ms */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

const MIB = 1024 * 1024;

/** `54 MiB`, `1.2 GiB`. */
export function size(bytes: number): string {
  return bytes < 1024 * MIB ? `${Math.round(bytes / MIB)} MiB` : `${(bytes / MIB / 1024).toFixed(1)} GiB`;
}

/** `1 connection`, `2 connections`. */
export const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;

/** Local time of day of an ISO 8601 instant: `13:04:05`. */
export function timeOfDay(instant: string | number): string {
  return new Date(instant).toTimeString().slice(0, 8);
}

/** Nothing that comes from a program, a path or a peer may command the terminal, or break its line. */
export function visible(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not get through.
  return text.replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ');
}
