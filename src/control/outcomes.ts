import type { Code } from '../base/error-catalog.js';

/** Codes of the RESULT of what a command has asked for. */

/** After an upgrade with one of these codes it is not known whether the old instance serves. */
export const UNKNOWN_ENDS: readonly Code[] = [
  'ERR_MOTYA_STOPPING',
  'ERR_MOTYA_CONNECTION_LOST',
  'ERR_MOTYA_FORCE_FAILED',
];
