import { inBackground } from '../base/background.js';
import { PLACE_LOOK_MS } from '../base/deadlines.js';
import { failureFields, reasonOf } from '../base/errors.js';
import type { Life } from './life.js';

/**
 * Keeps a running instance within reach: the directory of its pidfile and sockets may be removed under it, by the end of a session
 * (logind), a cleaner of temporary files, or `rm`. What has gone is made anew. A look costs five lstat(2); inotify would cost
 * nothing, but its instances are few (fs.inotify.max_user_instances), and it does not see a directory that a mount hides.
 */
export function keepReachable(life: Life): void {
  let trouble = '';
  const look = (): void => {
    try {
      if (life.phase === 'draining') life.instance.endpoints.restoreDrainSocket();
      const lost = life.machine.is('ownsFiles') ? life.instance.endpoints.restore() : [];
      if (lost.length > 0)
        life.warn('restored', `${lost.join(', ')} had gone, and ${lost.length > 1 ? 'are' : 'is'} made anew`, { lost });
      trouble = '';
    } catch (error) {
      // Said once, not each second: as long as another user has the directory's name, nothing can be done about it.
      const text = `commands may not reach this instance: ${reasonOf(error)}`;
      if (text !== trouble) life.warn('unreachable', text, failureFields(error));
      trouble = text;
    }
  };
  const timer = setInterval(look, PLACE_LOOK_MS).unref();
  inBackground(
    'the end of upkeep',
    life.ended.promise.then(() => clearInterval(timer)),
  );
}
