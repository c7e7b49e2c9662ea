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
 * none of these, the only one that runs.
 * @throws {MotyaError} none runs, or several do.
 */
export function controlSocketFor(flags: TargetArguments): string {
  const { cwd } = typedInvocation();
  const named = flags.script !== undefined || TARGET_FLAGS.some((flag) => flags[flag] !== undefined);
  const settings = loadSettings({ flags: { ...flags }, env: process.env, cwd });
  if (named || isRunning(settings.controlSocket)) return settings.controlSocket;

  const folder = runtimeFolder(process.env);
  const running = controlSocketsIn(folder).filter(isRunning);
  const [only] = running;
  if (only === undefined) throw new NotRunningError(settings.source === null ? folder : settings.controlSocket);
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
