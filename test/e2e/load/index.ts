export { type Load, type LoadOptions, startLoad } from './load.js';
export { startLoadProcess } from './process.js';
export { ResponseParser } from './response-parser.js';
export type { FailureDetail, FailureKind, FailurePhase, Latency, LoadReport, ServerReport } from './tally.js';
