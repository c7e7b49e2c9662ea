import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

type Callback = (error: Error | null) => void;
type Call = (...args: unknown[]) => unknown;

/**
 * Programs unlink their socket before `listen(path)` and at their end. Under Motya the path belongs to all generations: the
 * next one may be serving on it. So unlinking a socket that the instance listens on does nothing, successfully. Everything
 * that is not a socket costs one lstat more.
 * @param owns tells whether an absolute path is a listener of the instance
 */
export function guardSocketPaths(owns: (path: string) => boolean): void {
  for (const name of ['unlinkSync', 'rmSync'] as const) {
    const original = fs[name] as Call;
    Object.assign(fs, {
      [name]: (target: unknown, ...rest: unknown[]) => {
        if (!isOwned(target, owns)) original.call(fs, target, ...rest);
      },
    });
  }
  for (const name of ['unlink', 'rm'] as const) {
    const original = fs[name] as Call;
    Object.assign(fs, {
      [name]: (target: unknown, ...rest: unknown[]) => {
        const callback = rest.at(-1);
        if (typeof callback !== 'function' || !isOwned(target, owns)) original.call(fs, target, ...rest);
        else process.nextTick(callback as Callback, null);
      },
    });
    const promised = fs.promises[name] as Call;
    Object.assign(fs.promises, {
      [name]: async (target: unknown, ...rest: unknown[]) => {
        if (!isOwned(target, owns)) await promised.call(fs.promises, target, ...rest);
      },
    });
  }
  syncBuiltinESMExports();
}

function isOwned(target: unknown, owns: (path: string) => boolean): boolean {
  const name = pathOf(target);
  if (name === null) return false;
  try {
    return fs.lstatSync(name, { throwIfNoEntry: false })?.isSocket() === true && owns(path.resolve(name));
  } catch {
    // The original will say what is wrong with the path.
    return false;
  }
}

function pathOf(target: unknown): string | null {
  if (typeof target === 'string') return target;
  if (Buffer.isBuffer(target)) return target.toString();
  return target instanceof URL && target.protocol === 'file:' ? fileURLToPath(target) : null;
}
