/** The deadlines of the protocol, which depend on one another: test/base/deadlines.test.ts has the inequalities and their reasons. In ms. */

// The end of a process

/** ms at the end of an instance for lines that are not written yet: a reader that has read nothing for so long will not. */
export const OUTPUT_FLUSH_MS = 2_000;
/** ms for an instance that has hung up, at its end, to be gone: it writes what it has logged (OUTPUT_FLUSH_MS), and exits. */
export const STOPPED_MS = 4_000;

// Greeting, and the listeners

/** ms for HELLO and OFFER: both sides have them ready before they connect; a live peer needs milliseconds. */
export const GREETING_MS = 2_000;
/** ms for each message of fds and for ADOPTED: 1,000 listeners take some 30 ms; the rest is for a loaded machine. */
export const FDS_MS = 5_000;
/**
 * ms after SIGQUIT in which a successor that is started from outside may still announce itself before we start one. A start takes
 * about a second on a busy machine, two with --daemonize or npx; the incumbent serves meanwhile.
 */
export const SUCCESSOR_GRACE_MS = 3_000;
/** ms for a successor that we start to come to the upgrade socket: before its programs, so only node and its settings count. */
export const SUCCESSOR_START_MS = 30_000;
/**
 * ms after SIGQUIT in which a successor that is started is meant for that very upgrade, though the incumbent has answered it with one
 * of its own: the next line of a script comes within seconds, what is typed by hand within this. Too long costs an operator a second
 * try, too short lets a successor wait for the next upgrade with what is old code by then.
 */
export const LATE_MS = 30_000;

// READY

/**
 * ms that a successor which is ready gives its programs to ask for the listeners that the incumbent's programs use, before it says
 * READY; for one that came late there, twice as late. A program opens its second port within a second of the first, or says so.
 */
export const LATE_LISTENER_MS = 1_000;
/** ms that the incumbent waits for READY beyond its readyTimeout: the successor's own, better reason should come first. */
export const READY_MARGIN_MS = 5_000;
/** ms from SIGTERM to SIGKILL for programs of an instance that has failed to start, at most: what killGrace is by default. */
export const ABANDON_MS = 5_000;
/** ms beyond ABANDON_MS in which a successor that was rejected ends by itself; then it is killed. */
export const REJECTED_END_MS = 5_000;

// COMMIT and LIVE: neither instance accepts meanwhile, so they are short

/**
 * ms for the incumbent's workers to stop accepting: those that can have stopped, and no instance accepts meanwhile. One that
 * spins accepts nothing; when it comes to itself it may accept a few beside the successor, which is harmless, before it stops.
 */
export const PAUSE_MS = 300;
/** ms for the programs of the incumbent to say what they hand on (`onHandover`). No instance accepts in that time, so it is short. */
export const GIVE_MS = 1_000;
/** ms from READY to COMMIT: the incumbent needs PAUSE_MS and GIVE_MS at most; the rest is for a loaded machine. */
export const COMMIT_MS = 6_000;
/** ms for the successor's workers to accept; below LIVE_MS, so that the successor gives up first. */
export const ACCEPT_MS = 3_000;
/** ms for LIVE. No instance accepts in that time, so it is short; an incumbent that gets no LIVE accepts again. */
export const LIVE_MS = 5_000;
/**
 * ms after which the incumbent's workers, paused for a hand-over, accept again by themselves: by then it has said how that went,
 * unless it is stopped. Beside a successor that is live they do no harm.
 */
export const PAUSE_LEASE_MS = PAUSE_MS + GIVE_MS + LIVE_MS + 1_000;
/**
 * ms for a successor to end that has not received COMMIT, after the connection broke: it waits GREETING_MS for the end of the
 * incumbent, stops its programs (ABANDON_MS) and writes its log (OUTPUT_FLUSH_MS). One that lives longer has received COMMIT.
 */
export const BROKEN_MS = GREETING_MS + ABANDON_MS + OUTPUT_FLUSH_MS + 1_000;
/** ms for which a dead incumbent's lock and its orphaned workers' listeners may still be in the way. */
export const AFTERLIFE_MS = 3_000;

// Probation

/** ms between two looks at the health of a successor on probation, at most: a deploy is judged within seconds. */
export const HEALTH_MS = 1_000;
/**
 * ms for an answer to the health check, at least and at most; between them HEALTH_ANSWER_SHARE of the probation. Two that come to
 * nothing, and the pause between them, take 9 of the default 10 s. What is pending at the end of a probation is waited for.
 */
export const HEALTH_ANSWER_LEAST_MS = 1_000;
export const HEALTH_ANSWER_MS = 4_000;
/** Shares of a probation that one answer, and the pause behind it, may take. */
export const HEALTH_ANSWER_SHARE = 0.4;
export const HEALTH_PAUSE_SHARE = 0.1;
/** Looks in a row that must fail: one may hit a worker that is busy with its first requests. */
export const HEALTH_FAILURES = 2;
/**
 * ms that a worker must live on probation after the one before it has crashed: twice as long as that, and this at most. One that
 * crashes with its first request, or its first timer, has done so by then; twice, for a busy machine. At the end of the probation it
 * has twice this time.
 */
export const OUTLIVES_MS = 2_000;
/** ms between two looks whether clients wait on a listener of a successor on probation: a question to the kernel for each. */
export const ACCEPT_LOOK_MS = 250;
/** ms for which clients wait and no program accepts, though its event loop turns, until the listener counts as dead. */
export const NOT_ACCEPTING_MS = 2_000;
/** The same for a program whose event loop does not turn: it may be busy with its first requests. */
export const NOT_TURNING_MS = 5_000;
/** ms at the end of a probation for the incumbent's programs to say what came to listeners that the successor has left out. */
export const LEFT_OUT_ANSWER_MS = 2_000;
/**
 * ms that the last look at a successor may take, at the end of its probation: for an answer to the health check and then for a worker
 * that has crashed, and at the same time for programs that do not accept (NOT_TURNING_MS, with the time of two looks).
 */
export const LAST_LOOK_MS = HEALTH_ANSWER_MS + 2 * OUTLIVES_MS;
/**
 * ms beyond its probation in which a successor must say how it went: the last look, and time for a busy machine. It tells each second
 * that it is there, so one that is silent for this long is wedged, and the incumbent serves again.
 */
export const PROBATION_MARGIN_MS = LAST_LOOK_MS + 2_000;

// Drain

/** ms between two STATS while draining. */
export const STATS_MS = 1_000;
/** The same while nothing changes: a generation may wait for an hour for idle WebSockets. */
export const STATS_QUIET_MS = 3_000;
/**
 * ms for an answer to MOVE, over two supervisors and a worker that adopts one batch a turn: milliseconds, unless one of them is stopped
 * or spins. Then its connections are served where they were.
 */
export const MOVED_MS = 5_000;
/** ms before the end of a drain from which on no connection is sent: what comes back must be ended in time. */
export const LAST_MOVE_MS = 1_000;
/** ms without STATS after which a draining predecessor counts as lost for status; three times the longest interval. */
export const STATS_SILENCE_MS = 10_000;
/** ms by which each step of a drain (every STATS_QUIET_MS, at least) puts off the manager's TimeoutStopSec=. */
export const STOP_EXTENSION_MS = 10_000;
/** ms for workers to accept the clients in the backlog: they need some; one that is busy for longer would hold up the end. */
export const RETIRE_MS = 3_000;
/** ms after which the incumbent has closed a listener that its successor has left out: GREETING_MS until it hears of it. */
export const RETIRED_MS = RETIRE_MS + GREETING_MS;

// Commands

/** ms for a worker to count its connections; one that is busy longer is reported without them. */
export const COUNT_MS = 500;
/**
 * ms for an instance to answer a command, or a successor that is about to wait: it asks its workers, and a machine on which several
 * programs start needs seconds. One that is silent for longer is stopped, or spins.
 */
export const ANSWER_MS = 5_000;
/** ms for an instance that has just handed over to tell what it drains: COUNT_MS for a worker that is busy, and time for a machine that is. */
export const FIRST_DRAIN_MS = 6 * COUNT_MS;
/** ms between two looks whether pidfile and sockets of a running instance are still there: the longest that it cannot be reached. */
export const PLACE_LOOK_MS = 1_000;
/** ms after which an instance whose directory was removed has its control socket again: it looks each second. */
export const SOCKET_REMADE_MS = 1_500;
/**
 * ms from SIGTERM to SIGKILL for an incumbent that was replaced by force: it answered nothing for GREETING_MS, so most do not hear
 * the signal either; one that does needs this long to begin to drain.
 */
export const WEDGED_GRACE_MS = 2_000;
/** ms in which one that was killed has ended, after its grace: unless it waits for a disk that does not answer. */
export const WEDGED_END_MS = WEDGED_GRACE_MS + 8_000;
