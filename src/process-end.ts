import { isSystemError } from './errors.js';
import { PROCESS_LOOK_MS } from './limits.js';
import { native } from './native.js';

/** Resolves when the process, anybody's, has ended; at once when it is gone already. Never after `signal` is aborted. */
export function processEnd(pid: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    let fd: number | null = null;
    try {
      const opened = native.openPidfd(pid);
      fd = opened;
      const close = (): void => {
        signal?.removeEventListener('abort', close);
        poll.close();
        native.close(opened);
      };
      const poll = native.createPoll(opened, () => {
        close();
        resolve();
      });
      signal?.addEventListener('abort', close);
      poll.watch(1);
    } catch (error) {
      if (fd !== null) native.close(fd);
      if (!isSystemError(error)) throw error;
      if (error.code === 'ESRCH') resolve();
      // Out of fds or memory: one that cannot be watched has not ended.
      else lookFor(pid, resolve, signal);
    }
  });
}

function lookFor(pid: number, ended: () => void, signal?: AbortSignal): void {
  const timer = setInterval(() => {
    try {
      process.kill(pid, 0);
    } catch (error) {
      // EPERM: it lives, as somebody else's.
      if (!isSystemError(error) || error.code !== 'ESRCH') return;
      clearInterval(timer);
      ended();
    }
  }, PROCESS_LOOK_MS);
  signal?.addEventListener('abort', () => clearInterval(timer));
}
