import type { Options } from 'yargs';
import { yargsOptions } from '../config/options.js';

/** Flags by which a command says which running instance it means. */
export const TARGET_FLAGS = ['config', 'name', 'upgrade-socket'] as const;

export const targetOptions = yargsOptions(TARGET_FLAGS) as Record<
  (typeof TARGET_FLAGS)[number],
  { type: 'string' } & Options
>;

/** What yargs gives a command that speaks to a running instance. */
export type TargetArguments = { readonly [flag in 'script' | (typeof TARGET_FLAGS)[number]]?: string | undefined };
