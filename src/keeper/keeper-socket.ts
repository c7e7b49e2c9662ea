import { failureFields, reasonOf, type Warn } from '../base/errors.js';
import { REASON_LENGTH } from '../base/limits.js';
import { ensureRuntimeDirectory, keeperSocketOf } from '../base/os/paths.js';
import { PrivateSocket } from '../base/os/private-socket.js';
import { asUser } from '../base/os/privileges.js';
import type { Settings } from '../config/settings.js';
import type { ControlMessage } from '../control/control-messages.js';
import { ControlPeers } from '../control/control-peers.js';

interface KeeperState {
  /** What the keeper waits for and why, in one line. */
  state(): string;
  stop(): void;
  warn: Warn;
}

/**
 * The socket on which commands find the keeper while no instance answers: from a crash until another instance serves. Each peer gets
 * the keeper's state. STOP ends the keeper and with it the connection.
 */
export class KeeperSocket {
  readonly #path: string;
  readonly #directory: string | null;
  readonly #user: Settings['user'];
  readonly #keeper: KeeperState;
  readonly #peers = new ControlPeers();
  #socket: PrivateSocket | null = null;

  constructor(settings: Pick<Settings, 'controlSocket' | 'runtimeDirectory' | 'user'>, keeper: KeeperState) {
    const { controlSocket, runtimeDirectory, user } = settings;
    this.#directory = runtimeDirectory;
    this.#path = keeperSocketOf(controlSocket);
    this.#user = user;
    this.#keeper = keeper;
  }

  /** Without it the keeper does its work all the same. Called again, it makes one anew that was removed. */
  open(): void {
    try {
      if (this.#socket?.isLost === false) return;
      this.close();
      this.#socket = asUser(this.#user, () => {
        if (this.#directory !== null) ensureRuntimeDirectory(this.#directory);
        const socket = new PrivateSocket(this.#path, {
          connection: (fd) => this.#accept(fd),
          refused: (peer) => this.#keeper.warn(`a process of user ${peer.uid} was refused on the keeper's socket`),
          failed: (error) =>
            this.#keeper.warn(
              `a connection to the keeper's socket was not accepted: ${reasonOf(error)}`,
              failureFields(error),
            ),
        });
        socket.publish();
        return socket;
      });
    } catch (error) {
      this.#keeper.warn(reasonOf(error), failureFields(error));
    }
  }

  /** An instance answers. */
  close(): void {
    this.#socket?.close();
    this.#socket = null;
  }

  /** The keeper ends: hangs up on the peers that have asked for it. */
  end(): void {
    this.close();
    this.#peers.end();
  }

  #accept(fd: number): void {
    const channel = this.#peers.admit(fd);
    if (channel === null) return;
    channel.on('message', ({ type }: ControlMessage) => {
      if (type === 'STOP') this.#keeper.stop();
    });
    channel.open();
    const text = this.#keeper.state().slice(0, REASON_LENGTH);
    channel.send({ type: 'RESULT', ok: false, code: 'ERR_MOTYA_RESTARTING', text });
  }
}

/** The crash of the main process: its reason, and when (performance.now()) another instance is started. */
export interface Crash {
  readonly why: string;
  readonly until: number;
}

/** What the keeper waits for, in one line. `crash` null: the first instance has not served yet. */
export function stateText(crash: Crash | null): string {
  const { why, until } = crash ?? { why: 'no instance has served yet', until: 0 };
  const left = until - performance.now();
  const next =
    left > 0 ? `starts another instance in ${(left / 1000).toFixed(1)} s` : 'has started another instance, which boots';
  return `the keeper (pid ${process.pid}) ${next}: ${why}`;
}
