/** Limits of a drill: the unit is in the name or the comment, the reason beside it. */

/** ms of load before the first step of a drill (the usual figures), and after a rollback (do answers go on?). */
export const DRILL_STEADY_MS = 2_000;
export const DRILL_AFTER_MS = 500;
/** ms of probation in a drill: room for a successor to answer and to be killed in it, and its health is looked at twice. */
export const DRILL_PROBATION_MS = 2_000;
/** ms for one answer of the program: no user waits longer for a page. */
export const DRILL_ANSWER_MS = 10_000;
/** ms between two requests of one client: eight of them ask some 500 times a second, which any machine has left. */
export const DRILL_THINK_MS = 10;
/** ms between the two halves of a slow client's request. */
export const DRILL_PAUSE_MS = 200;
/** Clients of each kind, for each listener: an upgrade is met by each kind at each moment of its life. */
export const DRILL_CLIENTS = { keepAlive: 4, fresh: 2, slow: 2 } as const;
/** Requests that are inside the program when it gets SIGTERM. */
export const DRILL_HELD = 4;
/** ms by which an answer may be later than before the upgrades without being told of: people notice half a second. */
export const DRILL_STALL_MS = 500;
/** ms between two looks at what a drill's instance has written or whether it has ended. */
export const DRILL_LOOK_MS = 50;
/** ms that a drill's instances have to end, beyond the killGrace of their programs. */
export const DRILL_END_MS = 5_000;
/** Listeners of a program that a drill asks: those of a few services; each has clients of its own. */
export const DRILL_PLACES = 4;
