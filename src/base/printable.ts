/** A text that came from another process, fit for a terminal: it may have lines, but no commands to the terminal. */
export function printable(text: string): string {
  return text.replace(/(?!\n)\p{Cc}/gu, '\ufffd');
}

/** The same, on one line. */
export const oneLine = (text: string): string => printable(text).replaceAll('\n', ' ');

/** The same, of at most so many characters. */
export function cutLine(text: string, length: number): string {
  const plain = oneLine(text);
  return plain.length > length ? `${plain.slice(0, length - 1)}…` : plain;
}
