/** Codes of the RESULT of an upgrade after which it is not so that the old instance serves on, and of their reasons. */

/** Code of the RESULT of an upgrade that was taken back. */
export const ROLLED_BACK = 'MOTYA_ROLLED_BACK';
/** Code of the reason when `motya rollback` has asked for that. */
export const ROLLED_BACK_BY_HAND = 'MOTYA_ROLLBACK';
/** The instance that was to hand over was told to stop. */
export const STOPPING = 'MOTYA_STOPPING';
/** It has died, and nobody is left who would tell how it went: the command says it itself. */
export const INCUMBENT_GONE = 'MOTYA_INCUMBENT_GONE';
