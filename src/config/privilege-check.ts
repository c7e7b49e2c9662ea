import { SettingsError } from '../base/errors.js';
import type { Settings } from './settings.js';
import { WELCOME_SCRIPT } from './welcome-script.js';

/**
 * Whether this process may run the programs as the user of the settings. A program runs as root only when the settings say so:
 * `sudo motya start` for a port below 1024 is not meant to make the program root.
 * @throws {SettingsError} in one line, with what to type
 */
export function checkPrivileges({ user, services, source }: Settings): void {
  const uid = process.geteuid?.();
  if (user === null) {
    if (uid !== 0 || services.every(({ script }) => script === WELCOME_SCRIPT)) return;
    throw new SettingsError(
      `${source === null ? '--user' : `${source}: user`}: root must say as which user the programs are to run: --user www-data (user: www-data in ${source === null ? 'motya.yaml' : 'the file'}), or --user root if they need root; where a unit says it (User=), check as that user: runuser -u www-data -- npx motya check`,
    );
  }
  if (uid === 0 || (uid === user.uid && process.getegid?.() === user.gid)) return;
  const place = source === null ? '' : `${source}: `;
  throw new SettingsError(
    `${place}user: only root can become user ${user.name} (uid ${user.uid}, gid ${user.gid}); this is uid ${uid}, gid ${process.getegid?.()}`,
  );
}
