import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { MotyaError, reasonOf } from '../errors.js';

/** What a socket is, as the kernel tells it (getsockname, getsockopt, fstat); never what somebody says of it. */
export interface SocketDescription {
  readonly family: 'inet' | 'inet6' | 'unix';
  readonly type: 'stream' | 'dgram' | 'seqpacket';
  /** SO_ACCEPTCONN: listen(2) has been called. Always false for datagram sockets. */
  readonly listening: boolean;
  /** Numeric address (`inet`, `inet6`; a link-local one with its `%scope`), or null for `unix`. */
  readonly address: string | null;
  /** Port in host order (`inet`, `inet6`), or null for `unix`. */
  readonly port: number | null;
  /** Path (`unix`), an abstract name with a leading NUL, '' for an unnamed socket, or null for `inet`, `inet6`. */
  readonly path: string | null;
  /** IPV6_V6ONLY; false for other families. */
  readonly v6only: boolean;
  /** Inode of the socket in sockfs: the same for every duplicate of it, in any process. */
  readonly inode: number;
}

/** What {@link Native.createListener} binds. */
export type ListenerSpec = {
  /** Only bound: connections are refused and datagrams dropped until {@link Native.undeafen}. */
  readonly deaf?: boolean;
} & (
  | {
      readonly family: 'inet' | 'inet6';
      readonly type: 'stream' | 'dgram';
      /** Numeric address, IPv6 with optional `%scope`. */
      readonly address: string;
      /** 0 lets the kernel choose. */
      readonly port: number;
      /** IPV6_V6ONLY, set on every `inet6` socket. */
      readonly v6only?: boolean;
      /** SO_REUSEADDR for datagram sockets (a stream socket always gets it, as libuv does). */
      readonly reuseAddr?: boolean;
      /** listen(2)'s queue length (`stream` only). The kernel caps it at net.core.somaxconn. */
      readonly backlog?: number;
    }
  | {
      readonly family: 'unix';
      readonly type: 'stream' | 'seqpacket' | 'dgram';
      /** Path, or an abstract name with a leading NUL; at most 107 bytes (unix(7)). */
      readonly path: string;
      /** Mode of the path from its first instant, for example 0o600; without it 0o777 less the umask. */
      readonly mode?: number;
      /** SO_PASSCRED: the kernel says with every message who has sent it ({@link NativeMessage.sender}). */
      readonly passCredentials?: boolean;
      /** Not for `dgram`. */
      readonly backlog?: number;
    }
);

/** Peer as the kernel recorded it at connect/listen time (SO_PEERCRED, unix(7)). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** One message of a SEQPACKET channel, or one datagram. Whoever receives it owns its fds (all of them CLOEXEC). */
export interface NativeMessage {
  /** Empty together with no fds: the peer has closed (recvmsg returned 0). */
  readonly data: Buffer;
  readonly fds: number[];
  /** As the kernel says; a pid of 0 is not in our pid namespace. Only with SO_PASSCRED. */
  readonly sender?: PeerCredentials;
}

/** A child that {@link Native.reap} has found ended. */
export interface EndedChild {
  readonly pid: number;
  /** Exit status, or null when a signal has ended it. */
  readonly status: number | null;
  /** Number of the signal, or null. */
  readonly signal: number | null;
}

/** Calls back on the environment's own loop (uv_poll) when the fd is readable or writable. */
export interface NativePoll {
  /** Bits: 1 readable (or hung up), 2 writable. Replaces what was asked for before; 0 stops. */
  watch(events: number): void;
  ref(): void;
  unref(): void;
  /** Ends watching. The fd itself stays open; close it after this returns. */
  close(): void;
}

/** How {@link Native.launch} starts a program that is nobody's child. */
export interface LaunchSpec {
  /** Absolute path of the executable. */
  readonly file: string;
  readonly args: readonly string[];
  /** `NAME=value` strings. */
  readonly env: readonly string[];
  /** Working directory, absolute. */
  readonly cwd: string;
  /** umask of the program; unchanged if left out. */
  readonly umask?: number;
  /** fds[i] becomes the program's fd i; every other fd of ours is closed by the exec. */
  readonly fds: readonly number[];
  /** Name of a variable that is added with the program's own pid, which is known only after the fork; for `LISTEN_PID`. */
  readonly pidVariable?: string;
}

/** What the user database knows of a user. */
export interface UserEntry {
  readonly name: string;
  readonly uid: number;
  /** Of the primary group. */
  readonly gid: number;
  readonly home: string;
}

/**
 * The addon: thin system calls, no policy. Every call throws a {@link SystemError} when the kernel refuses,
 * unless it says otherwise; a TypeError when its arguments are of the wrong shape. All fds it makes are CLOEXEC.
 */
export interface Native {
  /** Connected pair of SEQPACKET sockets, non-blocking. */
  socketpair(): [number, number];
  /** Pipe: read end, write end (both CLOEXEC, blocking). */
  pipe(): [number, number];
  /** Connects a SEQPACKET socket to a path (or abstract name); non-blocking afterwards. */
  connectPath(path: string): number;
  /** accept4(2); null when nobody waits (EAGAIN). */
  accept(fd: number): number | null;
  /**
   * One message with up to 253 fds (SCM_MAX_FD; more is EINVAL). The fds stay open here.
   * @returns false when the socket's buffer is full (EAGAIN): wait until it is writable.
   */
  send(fd: number, data: Uint8Array, fds: readonly number[]): boolean;
  /**
   * Next message of at most `maxBytes`; null when none waits (EAGAIN). Throws EMSGSIZE for a longer one (MSG_TRUNC) and
   * ENOBUFS when the kernel dropped fds (MSG_CTRUNC); whatever fds came with it are closed then.
   */
  receive(fd: number, maxBytes: number): NativeMessage | null;
  /** Blocks the thread until the fd is readable or hung up (poll(2)); false after `timeoutMs`. */
  waitReadable(fd: number, timeoutMs: number): boolean;
  /** SO_PEERCRED of a connected unix socket. */
  peerCredentials(fd: number): PeerCredentials;
  createPoll(fd: number, callback: (events: number) => void): NativePoll;

  /** socket, options, bind, listen. Non-blocking. On failure nothing is left, a path included. */
  createListener(spec: ListenerSpec): number;
  /** Throws ENOTSOCK for anything that is no socket. */
  describe(fd: number): SocketDescription;
  /** listen(2) on a socket that listens already: sets its backlog. */
  setBacklog(fd: number, backlog: number): void;
  /** Opens the ears of a listener that was made `deaf`: listen(2), or, for datagrams, the filter goes. */
  undeafen(fd: number, backlog: number): void;
  /**
   * From the first call on, libuv has no spare fd with which it would, when accept(2) says EMFILE, accept and close everybody who
   * waits (uv__emfile_trick). True: it has come to that since the last call; libuv tries again at once, without a pause.
   */
  keepQueue(): boolean;
  /** Connections that wait to be accepted, and the backlog in force (TCP_INFO; TCP listeners only). */
  queueLength(fd: number): { waiting: number; backlog: number };
  /**
   * The TCP listener, in every process that has it, answers no client that begins to connect from here on (SO_ATTACH_FILTER,
   * socket(7)); handshakes that have begun end as they would.
   */
  dropSyns(fd: number): void;
  /**
   * The TCP listener, in every process that has it, hears of no interface any more (SO_BINDTOIFINDEX): who begins to connect from
   * here on is refused at once. Handshakes that have begun end as they would, but for SYN cookies. For everybody since Linux 5.7;
   * EPERM without CAP_NET_RAW where it is bound to an interface already.
   */
  leaveInterfaces(fd: number): void;
  /** shutdown(2), SHUT_RD: a unix listener, in every process that has it, refuses who comes; who is in its queue can be accepted. */
  shutdownReceive(fd: number): void;

  /** F_DUPFD_CLOEXEC. */
  dup(fd: number): number;
  close(fd: number): void;
  setCloexec(fd: number): void;
  /** dup2(2): `target` becomes a copy of `fd` (not CLOEXEC: meant for 0, 1 and 2). */
  redirect(fd: number, target: number): void;
  /** F_SETPIPE_SZ: lets a pipe hold `bytes`, if its user may have so much (/proc/sys/fs/pipe-user-pages-soft). */
  widenPipe(fd: number, bytes: number): void;
  /** poll(2): a write would not block (a pipe has room for PIPE_BUF bytes), or would fail at once. Files always say true. */
  isWritable(fd: number): boolean;

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
  execve(file: string, args: readonly string[], env: readonly string[], kept: readonly number[]): never;
  /**
   * _exit(2): ends the process without what process.exit() waits for. A thread of libuv's pool that is blocked in a write is
   * joined there, so a reader that does not read would keep the process for ever.
   */
  exitNow(status: number): never;
  /** SIGRTMIN to SIGRTMAX do nothing from here on; programs that are started get them as ever. */
  ignoreRealTimeSignals(): void;

  /** Orphans among our descendants become our children (PR_SET_CHILD_SUBREAPER, prctl(2)); PID 1 needs it not. */
  becomeSubreaper(): void;
  /** Takes all children that have ended, whoever started them (waitpid(2) with -1). `left`: others still run. */
  reap(): { ended: EndedChild[]; left: boolean };
  /**
   * kill(2) for a child of ours only, whose pid can be nobody else's until it is reaped.
   * @returns false when no child of ours has this pid
   */
  signalChild(pid: number, signal: number): boolean;
  /** An fd that becomes readable when the process, anybody's, ends (pidfd_open(2)). */
  openPidfd(pid: number): number;
  /**
   * A duplicate of an fd of the process that the pidfd is of, made without its help (pidfd_getfd(2), Linux 5.6). EPERM: we have not
   * the rights of its debugger.
   */
  copyFd(pidfd: number, target: number): number;
  /** As kill(2), for the very process that the pidfd was opened for (pidfd_send_signal(2)). */
  signalPidfd(fd: number, signal: number): void;

  /**
   * Opens (creates, mode 0600) a lock file and takes flock(2) LOCK_EX on it. The lock belongs to the open file: it can be passed
   * over a channel, lasts until the last duplicate is closed, and ends with the processes that hold it.
   * @returns the fd that holds the lock, or null when somebody else holds it.
   */
  lockFile(path: string): number | null;

  /** A file in memory with this content, which nobody can change (memfd_create(2), sealed). */
  sealedFile(data: Uint8Array): number;

  /** getpwnam(3) or getpwuid(3), so whatever nsswitch.conf(5) names is asked; null when there is no such user. */
  findUser(nameOrUid: string | number): UserEntry | null;
  /** getgrnam(3): the gid, or null when there is no such group. */
  findGroup(name: string): number | null;
  /** getgrouplist(3): the groups that initgroups(3) would give the user, `gid` among them. */
  groupsOf(name: string, gid: number): number[];

  /**
   * One datagram to a service manager's socket (sd_notify(3)), with up to 253 fds; waits a second at most for a manager whose
   * queue is full (EAGAIN then). The fds stay open here.
   * @param path as in $NOTIFY_SOCKET, an abstract name with a leading NUL instead of the `@`
   */
  notify(path: string, state: string, fds: readonly number[]): void;
  /** The inode by which pidfs (Linux 6.9) tells this process from every other with the same pid; null on older kernels. */
  pidfdId(pid: number): string | null;
}

function load(): Native {
  if (process.platform !== 'linux') {
    throw new MotyaError(
      'ERR_MOTYA_PLATFORM',
      `motya needs Linux (SCM_RIGHTS over SEQPACKET, /proc); this is ${process.platform}`,
    );
  }
  const require = createRequire(import.meta.url);
  try {
    const nodeGypBuild = require('node-gyp-build') as (dir: string) => Native;
    return nodeGypBuild(fileURLToPath(new URL('../../..', import.meta.url)));
  } catch (error) {
    throw new MotyaError(
      'ERR_MOTYA_ADDON',
      `the native addon cannot be loaded: ${reasonOf(error)}; run \`npm rebuild motya\``,
      { cause: error },
    );
  }
}

export const native: Native = load();
