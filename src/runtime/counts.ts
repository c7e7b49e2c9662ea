import type { AnswerCounts, ConnectionCounts, StayedCounts } from './worker-messages.js';

export const NO_CONNECTIONS: ConnectionCounts = { http1: 0, idle: 0, http2: 0, upgraded: 0, other: 0 };
export const NONE_STAYED: StayedCounts = { touched: 0, kept: 0, tls: 0, http2: 0, upgraded: 0, refused: 0, other: 0 };
export const NO_ANSWERS: AnswerCounts = { answers: 0, failed: 0 };

export function total(counts: ConnectionCounts): number {
  return counts.http1 + counts.idle + counts.http2 + counts.upgraded + counts.other;
}

export function plus(counts: ConnectionCounts, more: ConnectionCounts): ConnectionCounts {
  return {
    http1: counts.http1 + more.http1,
    idle: counts.idle + more.idle,
    http2: counts.http2 + more.http2,
    upgraded: counts.upgraded + more.upgraded,
    other: counts.other + more.other,
  };
}

export function both(one: AnswerCounts, other: AnswerCounts): AnswerCounts {
  return { answers: one.answers + other.answers, failed: one.failed + other.failed };
}
