/** What a socket is, as the kernel reports it (getsockname, getsockopt, fstat). */
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

/** What {@link ListenerCalls.create} binds. */
export type ListenerSpec = {
  /** Only bound: connections are refused and datagrams dropped until {@link ListenerCalls.startListening}. */
  readonly bindOnly?: boolean;
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
      /** SO_PASSCRED: the kernel adds the sender to every message ({@link NativeMessage.sender}). */
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

/** One message of a SEQPACKET channel, or one datagram. The receiver owns its fds (all of them CLOEXEC). */
export interface NativeMessage {
  /** Empty together with no fds: the peer has closed (recvmsg returned 0). */
  readonly data: Buffer;
  readonly fds: number[];
  /** The kernel had no room for some of its fds (MSG_CTRUNC): none is here. */
  readonly hasLostFds?: boolean;
  /** As the kernel says; a pid of 0 is not in our pid namespace. Only with SO_PASSCRED. */
  readonly sender?: PeerCredentials;
}

/** A child that {@link ChildrenCalls.reap} has found ended. */
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

/** How {@link ProcessCalls.launch} starts a program that is not a child of this process. */
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
