import { ChildProcess } from 'node:child_process';

type Call = (this: ChildProcess, ...args: unknown[]) => unknown;

/** `done`: a child process has ended as it was to: with exit status 0, or after `kill()`. */
export function watchChildren(done: (pid: number) => void): void {
  // spawn(), exec(), execFile() and fork() all come here, and with that node:cluster.
  const prototype = ChildProcess.prototype as unknown as { spawn: Call };
  const { spawn } = prototype;
  prototype.spawn = function (this: ChildProcess, ...args) {
    this.once('exit', (code) => {
      if (this.pid !== undefined && (code === 0 || this.killed)) done(this.pid);
    });
    return spawn.apply(this, args);
  };
}
