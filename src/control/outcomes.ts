/** Codes of the RESULT of what a command has asked for. */

/** The upgrade was taken back. */
export const ROLLED_BACK = 'MOTYA_ROLLED_BACK';
/** Why: `motya rollback` has asked for it. */
export const ROLLED_BACK_BY_HAND = 'MOTYA_ROLLBACK';
/** The instance that was to hand over was told to stop. */
export const STOPPING = 'MOTYA_STOPPING';
/** Of a successor: the upgrade that it was meant for has happened without it. */
export const LATE = 'MOTYA_LATE';
/** Of a successor: it has loaded older files than the program has by now. */
export const STALE = 'MOTYA_STALE';
/** The successor was told to stop; the old instance serves on. */
export const SUCCESSOR_STOPPED = 'MOTYA_SUCCESSOR_STOPPED';
/** The instance that was asked has died, or hung up: the command says so itself. */
export const GONE = 'MOTYA_GONE';
/** An instance that answers nothing could not be replaced: it is as it was. */
export const NOT_FORCED = 'MOTYA_FORCE';

/** After an upgrade that ended so nobody can say that the old instance serves on. */
export const UNKNOWN_ENDS: readonly string[] = [STOPPING, GONE, NOT_FORCED];
