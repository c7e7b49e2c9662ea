/** A text that came from another process, fit for a terminal: it may have lines, but no commands to the terminal. */
export function printable(text: string): string {
  return text.replace(/(?!\n)\p{Cc}/gu, '\ufffd');
}

/** The same, on one line. */
export const oneLine = (text: string): string => printable(text).replaceAll('\n', ' ');
