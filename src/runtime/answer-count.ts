import type { ServerResponse } from 'node:http';
import type { AnswerCounts } from './worker-messages.js';

/** Counts HTTP/1 answers from the first question on: before it no request pays for it. */
export class AnswerCount {
  #counts: AnswerCounts | null = null;

  read(): AnswerCounts {
    this.#counts ??= this.#start();
    return { ...this.#counts };
  }

  /** What has been counted, once counting was asked for. */
  get current(): AnswerCounts | null {
    return this.#counts;
  }

  #start(): AnswerCounts {
    const counts = { answers: 0, failed: 0 };
    const { subscribe } = process.getBuiltinModule('node:diagnostics_channel');
    // Node documents this channel and its message (18.8).
    subscribe('http.server.response.finish', (message) => {
      counts.answers++;
      if ((message as { response: ServerResponse }).response.statusCode >= 500) counts.failed++;
    });
    return counts;
  }
}
