/** Texts, or numbers with a unit, which are set to the right. */
export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
}

/** Aligned columns, two blanks apart, under their titles; without blanks at the end of a line. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const all = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, index) => Math.max(...all.map((row) => widthOf(row[index] ?? ''))));
  return all.map((row) => {
    const cells = columns.map(({ align }, index) => {
      const cell = row[index] ?? '';
      const blanks = ' '.repeat((widths[index] ?? 0) - widthOf(cell));
      return align === 'right' ? blanks + cell : cell + blanks;
    });
    return cells.join('  ').trimEnd();
  });
}

/** Code points: right for all that is not East Asian or combined. */
const widthOf = (text: string): number => [...text].length;

/** The line as far as it fits. */
export function cut(line: string, columns: number): string {
  const points = [...line];
  return points.length <= columns ? line : `${points.slice(0, Math.max(0, columns - 1)).join('')}…`;
}
