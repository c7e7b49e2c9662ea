import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Debian's places for commands of root, which are not in the PATH of other users. */
const ROOTS_DIRECTORIES = ['/usr/sbin', '/sbin'];

/** Command → the Debian package that has it. `.ci/run` installs them all. */
export const PACKAGES = {
  bash: 'bash',
  chromium: 'chromium',
  fish: 'fish',
  logrotate: 'logrotate',
  nginx: 'nginx-light',
  runsv: 'runit',
  's6-supervise': 's6',
  spin: 'spin',
  ss: 'iproute2',
  'systemd-analyze': 'systemd',
  zsh: 'zsh',
} as const;

export type Command = keyof typeof PACKAGES;

/**
 * Why a test that runs `command` is left out, with what would bring it; false when the command is here. The runner counts the
 * tests by these texts at its end.
 */
export function lacks(command: Command): string | false {
  const directories = [...(process.env.PATH ?? '').split(delimiter), ...ROOTS_DIRECTORIES];
  if (directories.some((directory) => isExecutable(join(directory, command)))) return false;
  return `needs ${command}: apt-get install ${PACKAGES[command]}`;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
