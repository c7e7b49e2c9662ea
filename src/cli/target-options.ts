import { type Flag, yargsOptions } from '../config/options.js';

/** Flags by which a command says which running instance it means. */
export const TARGET_FLAGS = ['config', 'name', 'upgrade-socket'] as const;

export const targetFlags = yargsOptions(TARGET_FLAGS);

export const targetPositionals: Record<'script', Flag> = {
  script: { description: 'The program that runs, when it is not the one of this directory', isPath: true },
};

/** What yargs gives a command that speaks to a running instance. */
export type TargetArguments = { readonly [flag in 'script' | (typeof TARGET_FLAGS)[number]]?: string | undefined };
