import { closeSync, openSync } from 'node:fs';
import { isSystemError } from '../base/errors.js';
import { native } from '../base/os/native.js';

/**
 * A worker whose supervisor was killed finishes its requests, but the pipes that it logs to have no reader any more:
 * every write is EPIPE, which as an unhandled 'error' of process.stdout would end the program.
 */
export class OutputGuard {
  constructor() {
    guard('stdout');
    guard('stderr');
  }

  /** From here on whatever the program and its new children write, in whichever way, goes nowhere. */
  orphaned(): void {
    const nowhere = openNowhere();
    if (nowhere === null) return;
    native.fd.redirect(nowhere, 1);
    native.fd.redirect(nowhere, 2);
    closeSync(nowhere);
  }
}

/** Null: there is no fd for it, or no such device. The streams of `process` are guarded all the same, and requests are open. */
function openNowhere(): number | null {
  try {
    return openSync('/dev/null', 'w');
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return null;
  }
}

/**
 * Not before the program asks for the stream: making it would change the pipe to non-blocking for a program that writes to the
 * fd itself.
 */
function guard(name: 'stdout' | 'stderr'): void {
  const property = Object.getOwnPropertyDescriptor(process, name);
  const make = property?.get;
  if (property === undefined || make === undefined) return;
  let stream: NodeJS.WriteStream | undefined;
  const get = (): NodeJS.WriteStream => {
    if (stream === undefined) {
      stream = make.call(process) as NodeJS.WriteStream;
      const made = stream;
      made.on('error', (error: NodeJS.ErrnoException) => {
        // The end of the supervisor may be heard of here first. Other errors are the program's, as without this listener.
        if (error.code !== 'EPIPE' && made.listenerCount('error') === 1) throw error;
      });
    }
    return stream;
  };
  Object.defineProperty(process, name, { ...property, get });
}
