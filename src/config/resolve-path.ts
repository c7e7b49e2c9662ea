import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';

/**
 * `path` from `base`, symlinks unresolved. Only `..` means the parent of the real directory, as it does for the kernel and for
 * Node: from a symlink `current` to `releases/7`, `../shared` is `releases/shared`.
 */
export function absolutePath(base: string, path: string): string {
  if (!path.split('/').includes('..')) return resolve(base, path);
  try {
    return resolve(realpathSync(base), path);
  } catch {
    return resolve(base, path);
  }
}
