import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadSettings } from '../config/load.js';
import { connectControl, NotRunningError } from '../control/client.js';
import { typedInvocation } from '../daemon/invocation.js';
import { runtimeFolder } from '../daemon/paths.js';
import { MotyaError } from '../errors.js';
import { TARGET_FLAGS, type TargetArguments } from './target-options.js';

const ENDING = '.control.sock';

/**
 * The control socket of the instance that is meant: by flags, script or settings file as `motya start` would take them; with
 * none of these (and no motya.yaml here), the only one that runs.
 * @throws {MotyaError} none runs, or several do.
 */
export function controlSocketFor(flags: TargetArguments): string {
  const { cwd } = typedInvocation();
  const folder = runtimeFolder(process.env);
  if (flags.name !== undefined) {
    // Without the settings, which may be broken just now.
    const path = join(folder, `${flags.name}${ENDING}`);
    if (isRunning(path)) return path;
  }
  const named = flags.script !== undefined || TARGET_FLAGS.some((flag) => flags[flag] !== undefined);
  const settings = loadSettings({ flags: { ...flags }, env: process.env, cwd });
  // A settings file in this folder says which one is meant, whether it runs or not: another's must not be stopped in its place.
  if (named || settings.source !== null || isRunning(settings.controlSocket)) return settings.controlSocket;

  const running = controlSocketsIn(folder).filter(isRunning);
  const [only] = running;
  if (only === undefined) throw new NotRunningError(folder);
  if (running.length === 1) return only;
  const names = running.map((path) => path.slice(folder.length + 1, -ENDING.length)).join(', ');
  throw new MotyaError('MOTYA_AMBIGUOUS', `several instances run: ${names}; say which one with --name`);
}

function controlSocketsIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(ENDING) && !name.startsWith('.'))
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function isRunning(path: string): boolean {
  try {
    connectControl(path).close();
    return true;
  } catch {
    return false;
  }
}
