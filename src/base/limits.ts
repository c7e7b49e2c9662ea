/** Every limit and deadline of Motya in one place: the unit is in the name or the comment, the reason beside it. */

/** Bytes of one channel message. A SEQPACKET message must fit into SO_SNDBUF (212,992 by default); a third leaves room for fds. */
export const MESSAGE_BYTES = 64 * 1024;
/**
 * Bytes of a piece of a message that does not fit into SO_SNDBUF (net.core.wmem_default may be that small): the kernel allows no
 * smaller buffer than 4,608 bytes (SOCK_MIN_SNDBUF).
 */
export const PIECE_BYTES = 2 * 1024;
/** Fds in one message. The kernel allows 253 (SCM_MAX_FD); half of it leaves room for its JSON. */
export const MESSAGE_FDS = 128;
/** Messages that may wait for a peer that does not read; beyond it the channel is closed. A thousand listeners need eight. */
export const CHANNEL_QUEUE = 4096;
/** ms that a channel which ends waits for its peer to read what is queued: a live one needs milliseconds. */
export const END_MS = 2_000;
/** Bytes of a unix socket path: sun_path has 108 with its closing NUL (unix(7)). */
export const UNIX_PATH_BYTES = 107;

/** ms for a worker to get an answer to LISTEN: the supervisor only binds; 10 s is a supervisor that is stopped. */
export const LISTEN_ANSWER_MS = 10_000;

/** ms after which a program that has not listened is told of, while it is waited for: most have by then. */
export const LISTEN_HINT_MS = 3_000;
/** ms that a program which is ready may still have a port open that it only looks at: it listens and closes at once. */
export const PORT_PROBE_MS = 2_000;

/** ms for HELLO and OFFER: both sides have them ready before they connect; a live peer needs milliseconds. */
export const GREETING_MS = 2_000;
/**
 * ms for an instance to answer a command, or a successor that is about to wait: it asks its workers, and a machine on which several
 * programs start needs seconds. One that is silent for longer is stopped, or spins.
 */
export const ANSWER_MS = 5_000;
/** ms after which an instance whose directory was removed has its control socket again: it looks each second. */
export const SOCKET_REMADE_MS = 1_500;
/** ms for each message of fds and for ADOPTED: 1,000 listeners take some 30 ms; the rest is for a loaded machine. */
export const FDS_MS = 5_000;
/** ms that the incumbent waits for READY beyond its readyTimeout: the successor's own, better reason should come first. */
export const READY_MARGIN_MS = 5_000;
/**
 * ms for the incumbent's workers to stop accepting: those that can have stopped, and nobody serves new clients meanwhile. One that
 * spins accepts nothing; when it comes to itself it may accept a few beside the successor, which is harmless, before it stops.
 */
export const PAUSE_MS = 300;
/** ms for the programs of the incumbent to say what they hand on (`onHandover`). Nobody accepts in that time, so it is short. */
export const GIVE_MS = 1_000;
/**
 * Bytes of what one worker hands on, serialized: written and read while nobody accepts, some 10 ms; what is larger belongs into a
 * store.
 */
export const STATE_BYTES = 16 * 1024 * 1024;
/** ms from READY to COMMIT: 2 s for the incumbent's workers to stop (as its version may have it), GIVE_MS, and as much again. */
export const COMMIT_MS = 2 * (2_000 + GIVE_MS);
/** ms for LIVE. Nobody accepts in that time, so it is short; an incumbent that gets no LIVE accepts again. */
export const LIVE_MS = 5_000;
/**
 * ms for a successor to end that has heard nothing of COMMIT, when the conversation has broken: it asks for GREETING_MS whether the
 * incumbent has died. One that lives on has heard it.
 */
export const BROKEN_MS = 3 * GREETING_MS;
/**
 * ms after which the incumbent's workers, paused for a hand-over, accept again by themselves: by then it has said how that went,
 * unless it is stopped. Beside a successor that is live they do no harm.
 */
export const PAUSE_LEASE_MS = PAUSE_MS + GIVE_MS + LIVE_MS + 1_000;
/** ms for the successor's workers to accept; below LIVE_MS, so that the successor gives up first. */
export const ACCEPT_MS = 3_000;
/** ms between two tries to reach an upgrade socket that is not there yet. */
export const RECONNECT_MS = 50;
/**
 * ms after SIGQUIT in which a successor that somebody else starts may still announce itself before we start one. A start takes
 * about a second on a busy machine, two with --daemonize or npx; the incumbent serves meanwhile.
 */
export const SUCCESSOR_GRACE_MS = 3_000;
/**
 * ms after SIGQUIT in which a successor that is started is meant for that very upgrade, though the incumbent has answered it with one
 * of its own: the next line of a script comes within seconds, what is typed by hand within this. Too long costs an operator a second
 * try, too short lets a successor wait for the next upgrade with what is old code by then.
 */
export const LATE_MS = 30_000;
/** Files of a program that are looked at when a waiting successor is to be taken: with a hash some 10 µs each. */
export const PROGRAM_FILES = 10_000;
/** Directories in which they are looked for, at most: a thousand with 200 entries each take some 100 ms. */
export const PROGRAM_DIRECTORIES = 1_000;
/** Entries of a directory beyond which none of it is looked at: uploads, a cache. Source code has some hundreds at most. */
export const PROGRAM_DIRECTORY_ENTRIES = 1_000;
/**
 * ms that a successor which is ready gives its programs to ask for the listeners that the incumbent's programs use, before it says
 * READY; for one that came late there, twice as late. A program opens its second port within a second of the first, or says so.
 */
export const LATE_LISTENER_MS = 1_000;
/** ms after its readiness in which what a program opens belongs to its start: a database that is slow to answer takes seconds. */
export const START_MS = 30_000;
/** ms from SIGTERM to SIGKILL for programs of an instance that has failed to start, at most: what killGrace is by default. */
export const ABANDON_MS = 5_000;
/** ms beyond ABANDON_MS in which a successor that was rejected ends by itself; then it is killed. */
export const REJECTED_END_MS = 5_000;
/** ms between two looks whether clients wait on a listener of a successor on probation: a question to the kernel for each. */
export const ACCEPT_LOOK_MS = 250;
/** ms for which clients wait and no program accepts, though its event loop turns, until the listener counts as dead. */
export const NOT_ACCEPTING_MS = 2_000;
/** The same for a program whose event loop does not turn: it may be busy with its first requests. */
export const NOT_TURNING_MS = 5_000;
/** Listeners that one question to a worker counts: their answer, with unix paths of 107 bytes, has half of MESSAGE_BYTES. */
export const LISTENERS_COUNTED = 128;
/** Listeners of which an upgrade tells that they are removed: what fits on a screen. */
export const REMOVED_TOLD = 20;
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
/**
 * ms that a worker must live on probation after the one before it has crashed: twice as long as that, and this at most. One that
 * crashes with its first request, or its first timer, has done so by then; twice, for a busy machine. At the end of the probation it
 * has twice this time. ms between two looks.
 */
export const OUTLIVES_MS = 2_000;
export const OUTLIVES_LOOK_MS = 100;
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
/** ms at the end of a probation for the incumbent's programs to say what came to listeners that the successor has left out. */
export const LEFT_OUT_ANSWER_MS = 2_000;
/** Looks in a row that must fail: one may hit a worker that is busy with its first requests. */
export const HEALTH_FAILURES = 2;
/** Answers below which a share of errors says nothing. */
export const HEALTH_ANSWERS = 20;
/** Fds, beside one for each listener, that a successor must have left: for a worker's restart, its pipes, and those who look. */
export const SPARE_FDS = 32;
/** Bytes of memory that a booted successor must find free: what a worker needs to be started again. */
export const SPARE_MEMORY_BYTES = 32 * 1024 * 1024;
/** Bytes that must be free beside the pidfile: a page for it, one for the names of the sockets. */
export const SPARE_DISK_BYTES = 8 * 1024;
/** ms in which a worker without fds or memory takes no connections: others may, and some of its own may end. */
export const EXHAUSTED_MS = 50;
/** ms between two looks whether it has come to that; and after it has, when they accept again: libuv tries without a pause. */
export const EXHAUSTED_LOOK_MS = 1_000;
export const EXHAUSTED_PROBE_MS = 10;
/** ms between two warnings about that. */
export const EXHAUSTED_SAID_MS = 10_000;
/** ms between two STATS while draining. */
export const STATS_MS = 1_000;
/** Connections that an upgrade socket greets at once; beyond them the oldest is hung up on. One incumbent needs one. */
export const GREETED_PEERS = 8;
/** ms that a drain goes on after SIGTERM reached an instance that drains already. */
export const STOP_WHILE_DRAINING_MS = 5_000;

/** ms before a crashed worker (or instance, by its keeper) is started again; doubles with each crash up to the second figure. */
export const RESTART_MS = 100;
export const RESTART_MAX_MS = 30_000;
/** ms that a keeper gives a generation before the one that crashed to take the service back: it needs a few. */
export const TAKE_BACK_MS = 500;
/** ms of life after which earlier crashes are forgotten. */
export const RESTART_FORGET_MS = 10_000;
/** Part of a drain, at its end, over which what is open is closed; and the most ms of it. */
export const SPREAD_SHARE = 0.2;
export const SPREAD_MOST_MS = 20_000;
/** ms between two steps of that: shorter than clients notice, and 20 a second cost nothing. */
export const SPREAD_STEP_MS = 50;
/** ms that a worker has to close what FORCE tells it to close. */
export const FORCE_MS = 1_000;

/** ms between two looks whether the inspector's port is free, of a worker that waits for it: a bind(2) that fails. */
export const INSPECTOR_LOOK_MS = 250;

/**
 * ms for a worker to end after a process that it has started: the kernel closes the files of one that dies first, and processes that
 * wait for it end on that (a cluster's workers); a wrapper ends with what it has started.
 */
export const CHILD_END_MS = 250;
/** ms for a worker of a program's own cluster, once it is online, to listen: most boot in one; a worker for jobs never does. */
export const CLUSTER_LISTEN_MS = 5_000;

/**
 * ms between two looks whether a process of a worker that does not listen yet listens without us, and how many must find the same
 * socket: a program that has a helper with a port listens itself within seconds. A look costs a millisecond, and 50 µs for each process of the
 * machine when there is a new socket.
 */
export const OUTSIDE_LOOK_MS = 1_000;
export const OUTSIDE_LOOKS = 3;

/** ms between two looks at the queue of a listener that is being retired: the kernel tells nobody that it has become empty. */
export const RETIRE_LOOK_MS = 10;
/** Looks in a row that must find nobody: a SYN that the kernel had in hand when the filter came is seen by the next one. */
export const RETIRE_LOOKS = 2;
/** ms for workers to accept whoever is in it: they need some; one that is busy for longer would hold up the end. */
export const RETIRE_MS = 3_000;
/** ms after which the incumbent has closed a listener that its successor has left out: GREETING_MS until it hears of it. */
export const RETIRED_MS = RETIRE_MS + GREETING_MS;
/** Bytes of the keys in READY that its successor does not want: 500 listeners, and room for the rest of the message. */
export const UNWANTED_BYTES = 32 * 1024;

/**
 * ms for which TLS ticket keys are handed from generation to generation: whoever gets hold of them can read what was resumed with
 * them, so upgrades must not make them live for ever; a day is what sessions are kept for at most.
 */
export const TICKET_KEYS_MS = 24 * 60 * 60 * 1000;

/**
 * ms from SIGTERM to SIGKILL for an incumbent that was replaced by force: it answered nothing for GREETING_MS, so most do not hear
 * the signal either; one that does needs this long to begin to drain.
 */
export const WEDGED_GRACE_MS = 2_000;
/** ms in which one that was killed has ended, after its grace: unless it waits for a disk that does not answer. */
export const WEDGED_END_MS = WEDGED_GRACE_MS + 8_000;

/** ms: the longest a Node timer can wait (2^31-1, 24.8 days); a longer one fires at once. No duration may be longer. */
export const LONGEST_TIMER_MS = 2_147_483_647;
/** Workers of one service: far beyond any machine's CPUs, so that a typing error does not start a million processes. */
export const MOST_WORKERS = 1024;
/** ms for a worker to count its connections; one that is busy longer is reported without them. */
export const COUNT_MS = 500;
/** ms: the shortest interval of `status --watch`. Each look asks every worker; ten a second is more than an eye needs. */
export const WATCH_LEAST_MS = 100;
/** ms for an instance that has just handed over to tell what it drains: COUNT_MS for a worker that is busy, and time for a machine that is. */
export const FIRST_DRAIN_MS = 6 * COUNT_MS;
/** ms between two tries to have back the pidfile and the control socket, for which there was no room. */
export const RECLAIM_MS = 1_000;
/** ms between two looks whether a process has ended that cannot be watched. */
export const PROCESS_LOOK_MS = 50;
/** ms for somebody to serve in the place of an incumbent that has died in an upgrade: most programs have booted by then. */
export const HEIR_MS = 10_000;
/** ms between two looks for it: a status costs an instance about one. */
export const HEIR_LOOK_MS = 100;
/** The largest uid or gid; the number above it means "no change" to the kernel (setresuid(2)). */
export const LARGEST_ID = 4_294_967_294;
/** ms for which a log line waits for a reader that does not keep up; then it is dropped. More would delay the supervisor. */
export const LOG_STALL_MS = 20;
/** ms for which a dead incumbent's lock and its orphaned workers' listeners may still be in the way. */
export const AFTERLIFE_MS = 3_000;
/** ms that a worker whose supervisor died gives its connections: nobody is left to set a deadline; 30 s ends most requests. */
export const ORPHAN_DRAIN_MS = 30_000;
/** ms without STATS after which a draining predecessor counts as lost for status; ten times the interval. */
export const STATS_SILENCE_MS = 10_000;
/** ms for a successor that we start to come to the upgrade socket: before its programs, so only node and its settings count. */
export const SUCCESSOR_START_MS = 30_000;
/** Control connections at once; more are closed. A command needs one, a status page a few. */
export const CONTROL_PEERS = 64;
/** ms without accepting on our own sockets after an accept has failed (no fds left): a busy loop would not help. */
export const ACCEPT_RETRY_MS = 1_000;
/** UTF-16 units of a reason that is stored or sent: it may be a whole page of settings errors. */
export const REASON_LENGTH = 2_000;
/** Messages that one event reads from a channel before signals and timers get their turn. */
export const MESSAGES_PER_EVENT = 64;
/** ms in which a service manager reads what was sent to it: systemd needs microseconds, unless it is reloading itself. */
export const BARRIER_MS = 1_000;
/** ms between two status lines to the service manager: people look at them, and each costs a question to every worker. */
export const STATUS_MS = 10_000;
/** ms by which each step of a drain (every STATS_MS) puts off the manager's TimeoutStopSec=. */
export const STOP_EXTENSION_MS = 10_000;
/** ms for systemctl to tell about our unit: D-Bus needs some 10. */
export const UNIT_QUERY_MS = 2_000;
/** ms after the last question in which the delay of an event loop is still measured: a scraper's minute, and a margin. */
export const DELAY_FORGET_MS = 75_000;
/** ms between two ticks of that measurement: 50 a second cost a worker nothing that could be measured. */
export const DELAY_RESOLUTION_MS = 20;
/** Generations, and upgrades, that are remembered: what fits on a screen. */
export const HISTORY_LENGTH = 20;
/** UTF-16 units of a reason in the history, which goes through COMMIT: a line or two. */
export const HISTORY_TEXT = 300;
/** Phases of this instance that are remembered: four upgrades that failed. */
export const PHASES_KEPT = 32;
/** Series of counters, at most 90 bytes each: they go through COMMIT. 100 services that crash for 40 reasons have fewer. */
export const MOST_SERIES = 500;
/** Bytes of what COMMIT carries for the successor's memory: room for the counters in any case, and far from MESSAGE_BYTES. */
export const LEGACY_BYTES = 48 * 1024;
/** UTF-16 units of one piece of a report: what a text of a message may have (codec.ts). */
export const REPORT_PIECE = 4_096;
/** Bytes of a message to a keeper; systemd takes as many (NOTIFY_BUFFER_MAX, its PIPE_BUF). */
export const NOTIFY_BYTES = 4096;
/** Sockets that a keeper stores: four times the listeners of the largest instance that is tested; a leak must not take all fds. */
export const STORED_FDS = 4096;
/** ms that orphans have between SIGTERM and SIGKILL when a keeper ends: what a worker has by default (killGrace). */
export const ORPHANS_MS = 5_000;
/** ms that one connection of the admin listener may last: an answer needs milliseconds, a worker that is busy COUNT_MS. */
export const ADMIN_CONNECTION_MS = 5_000;
/** Connections of the admin listener at once; beyond them the oldest is hung up on. A scraper and a few pages need ten. */
export const ADMIN_PEERS = 64;
/** Bytes of a request's head there: a browser's has one or two KiB. */
export const ADMIN_HEADER_BYTES = 8 * 1024;
/** ms for which an answer there is given again: shorter than anybody's interval, and a flood costs ten answers a second. */
export const ADMIN_REUSE_MS = 100;
/** Bytes that a worker's output holds before the program has to wait: some 10 ms of the fastest, while the supervisor is busy. */
export const OUTPUT_PIPE_BYTES = 256 * 1024;
/** Bytes that one read takes from it. */
export const OUTPUT_READ_BYTES = 64 * 1024;
/**
 * ms between two reads of little: each wakes the supervisor and a thread, which costs as much as reading hundreds of lines (1000
 * lines a second: 138 µs of CPU a line without the pause, 56 with it; bench:output). In this time few programs fill the pipe. The
 * end of a worker does not wait for it.
 */
export const OUTPUT_PAUSE_MS = 8;
/** Bytes of lines that may wait for a reader that does not keep up; then the workers' pipes are not read. Some ms of a fast one. */
export const OUTPUT_QUEUE_BYTES = 256 * 1024;
/** Bytes that are read from the pipe of a worker that has ended: more than any pipe holds (/proc/sys/fs/pipe-max-size). */
export const OUTPUT_TAIL_BYTES = 1024 * 1024;
/** ms between two tries to write to something that was made non-blocking and is full. */
export const OUTPUT_RETRY_MS = 10;
/** ms at the end of an instance for lines that are not written yet: a reader that has read nothing for so long will not. */
export const OUTPUT_FLUSH_MS = 2_000;
/** Bytes of a program's line; a longer one is passed on in pieces. journald cuts at 48 KiB, Docker at 16. */
export const LINE_BYTES = 64 * 1024;
/** Bytes and lines of a program's stderr that are kept for the reason of its end: an exception with its stack. */
export const LAST_WORDS_BYTES = 8 * 1024;
export const LAST_WORDS_LINES = 20;
/** UTF-16 units of the one line of them that goes into a reason. */
export const LAST_WORDS_LENGTH = 300;
/** ms for the other generations of a unit to end, at a stop, before its main process does: what a worker has by default (killGrace). */
export const OTHERS_END_MS = 5_000;
/** ms of load before the first step of a drill (the usual figures), and after a rollback (do answers go on?). */
export const DRILL_STEADY_MS = 2_000;
export const DRILL_AFTER_MS = 500;
/** ms of probation in a drill: room for a successor to answer and to be killed in it, and its health is looked at twice. */
export const DRILL_PROBATION_MS = 2_000;
/** ms for one answer of the program that is drilled; nobody waits longer for a page. */
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
/** Upgrades that a drill can do: more than anybody wants, so that a typing error ends. */
export const MOST_DRILLS = 1_000;
/** Listeners of a program that a drill asks: those of a few services; each has clients of its own. */
export const DRILL_PLACES = 4;
/** ms for a daemon whose start was interrupted to end, beyond the killGrace of its programs: some 100 ms, more on a busy machine. */
export const GIVE_UP_MS = 10_000;
/** ms between two looks whether it serves after all; its end is seen at once. */
export const GIVE_UP_LOOK_MS = 100;
/** ms between two looks whether pidfile and sockets of a running instance are still there: the longest that it cannot be reached. */
export const PLACE_LOOK_MS = 1_000;
/** ms for an instance that has hung up, at its end, to be gone: it writes what it has logged (OUTPUT_FLUSH_MS), and exits. */
export const STOPPED_MS = 4_000;

/** Bytes of a JSON file that is looked into for the `apps` of pm2: settings are small, a data file given by mistake may not be. */
export const LARGEST_PM2_FILE = 1_000_000;
