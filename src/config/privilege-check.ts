import { SettingsError } from '../base/errors.js';
import type { Settings } from './settings.js';
import { WELCOME_SCRIPT } from './welcome-script.js';

/**
 * Whether this process may run what the settings name, as whom they name. A program runs as root only when somebody has said
 * so: whoever types `sudo motya start` for a port below 1024 does not mean that.
 * @throws {SettingsError} in one line, with what to type
 */
export function checkPrivileges({ user, services, source }: Settings): void {
  const uid = process.geteuid?.();
  if (user === null) {
    if (uid !== 0 || services.every(({ script }) => script === WELCOME_SCRIPT)) return;
    throw new SettingsError(
      `root must say as which user the programs are to run: --user www-data (user: www-data in ${source ?? 'motya.yaml'}), or --user root for programs that need root`,
    );
  }
  if (uid === 0 || (uid === user.uid && process.getegid?.() === user.gid)) return;
  const place = source === null ? '' : `${source}: `;
  throw new SettingsError(
    `${place}user: only root can become user ${user.name} (uid ${user.uid}, gid ${user.gid}); this is uid ${uid}, gid ${process.getegid?.()}`,
  );
}
