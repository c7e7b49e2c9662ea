export const sum = (values) => values.reduce((total, value) => total + value, 0);
export const max = (values) => Math.max(...values);
export const min = (values) => Math.min(...values);

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Three significant digits below a hundred, none after the point above. */
export const digits = (value) => (value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0));

export const spread = (values) => `${digits(min(values))} / ${digits(median(values))} / ${digits(max(values))}`;

export const verdict = (isMet, bar) => `bar: ${bar}, ${isMet ? 'met' : '**missed**'}`;
