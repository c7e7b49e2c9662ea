import { isSystemError } from './errors.js';
import { native } from './native.js';

/** Resolves when the process, anybody's, has ended; at once when it is gone already or cannot be watched. */
export function processEnd(pid: number): Promise<void> {
  let fd: number;
  try {
    fd = native.openPidfd(pid);
  } catch (error) {
    if (isSystemError(error)) return Promise.resolve();
    throw error;
  }
  return new Promise((resolve) => {
    const poll = native.createPoll(fd, () => {
      poll.close();
      native.close(fd);
      resolve();
    });
    poll.watch(1);
  });
}
