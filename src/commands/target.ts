import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Options } from 'yargs';
import { loadSettings } from '../config/load.js';
import { yargsOptions } from '../config/options.js';
import { connectControl, NotRunningError } from '../control/client.js';
import { typedInvocation } from '../daemon/invocation.js';
import { runtimeFolder } from '../daemon/paths.js';
import { MotyaError } from '../errors.js';

/** Flags by which a command says which instance it means. */
const TARGET_FLAGS = ['config', 'name', 'upgrade-socket'] as const;
const ENDING = '.control.sock';

export const targetOptions = yargsOptions(TARGET_FLAGS) as Record<(typeof TARGET_FLAGS)[number], { type: 'string' } & Options>;

/** What yargs gives a command that speaks to a running instance. */
export type TargetArguments = { readonly [flag in 'script' | (typeof TARGET_FLAGS)[number]]?: string | undefined };

/**
 * The control socket of the instance that is meant: by flags, script or settings file as `motya start` would take them; with
 * none of these, the only one that runs.
 * @throws {MotyaError} none runs, or several do.
 */
export function controlSocketFor(flags: TargetArguments): string {
  const { cwd } = typedInvocation();
  const named = [flags.script, ...TARGET_FLAGS.map((flag) => flags[flag])].some((value) => value !== undefined);
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
