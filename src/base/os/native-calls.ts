import type {
  EndedChild,
  LaunchSpec,
  ListenerSpec,
  NativeMessage,
  NativePoll,
  PeerCredentials,
  SocketDescription,
  UserEntry,
} from './native-types.js';

/** One end of a SEQPACKET connection: messages with fds (native/channel.cc). */
export interface ChannelCalls {
  /** Connected pair of SEQPACKET sockets, non-blocking. */
  pair(): [number, number];
  /** Connects a SEQPACKET socket to a path (or abstract name); non-blocking afterwards. */
  connect(path: string): number;
  /** accept4(2); null when the queue is empty (EAGAIN). */
  accept(fd: number): number | null;
  /**
   * One message with up to 253 fds (SCM_MAX_FD; more is EINVAL). The fds stay open here.
   * @returns false when the socket's buffer is full (EAGAIN): wait until it is writable.
   */
  send(fd: number, data: Uint8Array, fds: readonly number[]): boolean;
  /**
   * Next message of at most `maxBytes`; null when none waits (EAGAIN). Throws EMSGSIZE for a longer one (MSG_TRUNC) and, unless
   * `mayLoseFds`, ENOBUFS when the kernel dropped fds (MSG_CTRUNC); the fds that came with it are closed then.
   */
  receive(fd: number, maxBytes: number, mayLoseFds?: boolean): NativeMessage | null;
  /** SO_PEERCRED of a connected unix socket. */
  peerCredentials(fd: number): PeerCredentials;
}

/** native/poll.cc */
export interface PollCalls {
  create(fd: number, callback: (events: number) => void): NativePoll;
}

/** Sockets that are listened on (native/listener.cc). */
export interface ListenerCalls {
  /** socket, options, bind, listen. Non-blocking. On failure nothing is left, a path included. */
  create(spec: ListenerSpec): number;
  /** Of any socket. Throws ENOTSOCK for an fd that is not a socket. */
  describe(fd: number): SocketDescription;
  /** listen(2) on a socket that listens already: sets its backlog. */
  setBacklog(fd: number, backlog: number): void;
  /** Ends `bindOnly`: listen(2), or, for datagrams, the filter that drops them is removed. */
  startListening(fd: number, backlog: number): void;
  /** Connections that wait to be accepted, and the backlog in force (TCP_INFO; TCP listeners only). */
  queueLength(fd: number): { waiting: number; backlog: number };
}

/** Ways to end the intake of a listener in every process that has it (native/retire.cc). */
export interface RetireCalls {
  /**
   * The TCP listener answers no SYN from here on (SO_ATTACH_FILTER, socket(7)); handshakes that have begun end as they
   * would.
   */
  dropSyns(fd: number): void;
  /**
   * The TCP listener is bound to no interface any more (SO_BINDTOIFINDEX): new connections are refused at once.
   * Handshakes that have begun end as they would, but for SYN cookies. Needs no privilege since Linux 5.7; EPERM without
   * CAP_NET_RAW for a listener that is bound to an interface already.
   */
  leaveInterfaces(fd: number): void;
  /** shutdown(2), SHUT_RD: a unix listener refuses new connections; those in its queue can be accepted. */
  shutdownReceive(fd: number): void;
}

/** libuv's reaction to EMFILE (native/queue.cc). */
export interface QueueCalls {
  /**
   * From the first call on, libuv has no spare fd with which it would, when accept(2) says EMFILE, accept and close every
   * connection in the queue (uv__emfile_trick). True: EMFILE was met since the last call; libuv tries again at once,
   * without a pause. Null: the layout of this libuv is not known, so it is left alone.
   */
  keep(): boolean | null;
}

/** native/fd.cc */
export interface FdCalls {
  /** Pipe: read end, write end (both CLOEXEC, blocking). */
  pipe(): [number, number];
  /** F_DUPFD_CLOEXEC. */
  dup(fd: number): number;
  close(fd: number): void;
  setCloexec(fd: number): void;
  /** dup2(2): `target` becomes a copy of `fd` (not CLOEXEC: meant for 0, 1 and 2). */
  redirect(fd: number, target: number): void;
  /** F_SETPIPE_SZ: the capacity of a pipe, if its user may have so much (/proc/sys/fs/pipe-user-pages-soft). */
  setPipeSize(fd: number, bytes: number): void;
  /** poll(2): a write would not block (a pipe has room for PIPE_BUF bytes), or would fail at once. Files always say true. */
  isWritable(fd: number): boolean;
  /** Blocks the thread until the fd is readable or hung up (poll(2)); false after `timeoutMs`. */
  waitReadable(fd: number, timeoutMs: number): boolean;
}

/** native/process.cc */
export interface ProcessCalls {
  /**
   * fork, setsid, fork, exec: the program's parent is PID 1 (or the nearest subreaper), it leads no session, its signals are
   * at their defaults. Only async-signal-safe calls run between fork and exec (signal-safety(7)).
   * @returns its pid, once exec has succeeded; a failed chdir or exec is thrown.
   */
  launch(spec: LaunchSpec): number;
  /**
   * execve(2): another program takes the place of this one, with the same pid; nothing of this one runs to its end.
   * @param args from argv[0] on
   * @param env `NAME=value` strings
   * @param kept fds that stay open there; all others are closed that are CLOEXEC, as every fd is which this process was started with
   */
  exec(file: string, args: readonly string[], env: readonly string[], kept: readonly number[]): never;
  /**
   * _exit(2): ends the process without what process.exit() waits for. A thread of libuv's pool that is blocked in a write is
   * joined there, so a reader that does not read would keep the process for ever.
   */
  exitNow(status: number): never;
  /** SIGRTMIN to SIGRTMAX do nothing from here on; programs that are started get them as ever. */
  ignoreRealTimeSignals(): void;
}

/** native/children.cc */
export interface ChildrenCalls {
  /** Orphans among our descendants become our children (PR_SET_CHILD_SUBREAPER, prctl(2)). PID 1 does not need it. */
  becomeSubreaper(): void;
  /** Takes all children that have ended, however they were started (waitpid(2) with -1). `left`: others still run. */
  reap(): { ended: EndedChild[]; left: boolean };
  /**
   * kill(2) for a child of ours only, whose pid cannot be reused until it is reaped.
   * @returns false when no child of ours has this pid
   */
  signal(pid: number, signal: number): boolean;
}

/** native/pidfd.cc */
export interface PidfdCalls {
  /** An fd that becomes readable when the process, of any user, ends (pidfd_open(2)). */
  open(pid: number): number;
  /** As kill(2), for the very process that the pidfd was opened for (pidfd_send_signal(2)). */
  signal(fd: number, signal: number): void;
  /**
   * A duplicate of an fd of the process that the pidfd is of, made without its help (pidfd_getfd(2), Linux 5.6). EPERM: it
   * takes the rights of its debugger (ptrace(2)).
   */
  copyFd(pidfd: number, target: number): number;
  /** The inode by which pidfs (Linux 6.9) tells this process from every other with the same pid; null on older kernels. */
  idOf(pid: number): string | null;
}

/** native/lock.cc */
export interface LockCalls {
  /**
   * Opens (creates, mode 0600) a lock file and takes flock(2) LOCK_EX on it. The lock belongs to the open file: it can be passed
   * over a channel, lasts until the last duplicate is closed, and ends with the processes that hold it.
   * @returns the fd that holds the lock, or null when another open file holds it.
   */
  acquire(path: string): number | null;
}

/** native/memfd.cc */
export interface MemfdCalls {
  /** A file in memory with this content, sealed: it cannot be changed (memfd_create(2)). */
  create(data: Uint8Array): number;
}

/**
 * Words of 32 bits that several processes share: which of them owns an item that is on its way (native/ownership.cc). A file has
 * {@link OWNERSHIP_WORDS} of them, 0 at first.
 */
export interface OwnershipCalls {
  /** A file in memory, sealed against any change of its size (memfd_create(2)). */
  create(): number;
  /**
   * Compare-and-swap of word `index`, atomic between processes. @returns whether it was `expected` and is `desired` now.
   * Throws EINVAL for an fd that is not such a file.
   */
  exchange(fd: number, index: number, expected: number, desired: number): boolean;
}

/** The user database, by whatever services nsswitch.conf(5) names (native/users.cc). */
export interface UserCalls {
  /** getpwnam(3) or getpwuid(3); null when there is no such user. */
  find(nameOrUid: string | number): UserEntry | null;
  /** getgrnam(3): the gid, or null when there is no such group. */
  findGroup(name: string): number | null;
  /** getgrouplist(3): the groups that initgroups(3) would give the user, `gid` among them. */
  groupsOf(name: string, gid: number): number[];
}

/** native/notify.cc */
export interface NotifyCalls {
  /**
   * One datagram to a service manager's socket (sd_notify(3)), with up to 253 fds; waits a second at most for a manager whose
   * queue is full (EAGAIN then). The fds stay open here.
   * @param path as in $NOTIFY_SOCKET, an abstract name with a leading NUL instead of the `@`
   */
  send(path: string, state: string, fds: readonly number[]): void;
}

/**
 * The addon: thin system calls, no policy; a group for each file of native/. Every call throws a {@link SystemError} when the
 * kernel refuses, unless it says otherwise; a TypeError when its arguments are of the wrong shape. All fds it makes are CLOEXEC.
 */
export interface Native {
  readonly channel: ChannelCalls;
  readonly children: ChildrenCalls;
  readonly fd: FdCalls;
  readonly listener: ListenerCalls;
  readonly lock: LockCalls;
  readonly memfd: MemfdCalls;
  readonly notify: NotifyCalls;
  readonly ownership: OwnershipCalls;
  readonly pidfd: PidfdCalls;
  readonly poll: PollCalls;
  readonly process: ProcessCalls;
  readonly queue: QueueCalls;
  readonly retire: RetireCalls;
  readonly users: UserCalls;
}
