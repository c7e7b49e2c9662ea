import type { Details } from '../base/errors.js';

/** `lease`: ms after which workers go on by themselves. `except`: keys of listeners on which they go on. */
export interface Pause {
  readonly lease?: number;
  readonly except?: readonly string[];
}

export interface ChildEnd {
  readonly pid: number;
  /** In words. */
  readonly reason: string;
  /** Keys of the listeners that it had, and no other process of its worker has. */
  readonly keys: readonly string[];
  /** ms that it was known; null: it never listened. */
  readonly lived: number | null;
}

export interface ConversationEvents {
  /** It waits for a listener that is not here yet: booted as far as can be. */
  blocked: [];
  ready: [];
  /** `pid` of the process whose program has closed its server. */
  release: [key: string, pid: number];
  /** `denied`: it may not listen where it wants to (EACCES). `exhausted`: it cannot take a connection (EMFILE and the like). `facts`: what `what` says, for programs. */
  trouble: [kind: 'denied' | 'exhausted', what: string, facts: Details];
  /** Once. `reason` in words: an exit status, a signal, or why it could not be started. */
  exit: [reason: string];
  /** A process that its program has started is a part of it from now on. */
  childStart: [];
  /** A process that its program has started, and that listened or was to, has ended by itself; see {@link ChildEnd}. */
  childEnd: [end: ChildEnd];
  /** A process that its program had started has ended as it was to; comes before or after `childEnd`. */
  childDone: [pid: number];
  /** After the exit: a process that its program has started, as `pid 12 (node)`, is in a session of its own, and goes on. `pid`: null where it cannot be told. */
  strayed: [who: string, pid: number | null];
}
