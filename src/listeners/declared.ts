import { setTimeout as delay } from 'node:timers/promises';
import { AFTERLIFE_MS } from '../base/deadlines.js';
import { isSystemError, StartError } from '../base/errors.js';
import { RECONNECT_MS } from '../base/limits.js';
import type { DeclaredListener, Settings } from '../config/settings.js';
import { bindAdvice } from './bind-advice.js';
import { keyOf } from './key.js';
import type { Ledger } from './ledger.js';
import { overlapWith } from './overlap.js';
import { holderOf } from './socket-users.js';

/** Stands for a service where the admin listener is concerned; no service can have this name. */
export const ADMIN = '(admin)';

/** Opens the listeners of the settings and holds them for the programs. @throws {StartError} one cannot be bound. */
export function declareListeners(settings: Settings, ledger: Ledger): void {
  const held = (): string[] => ledger.all().map(({ key }) => key);
  forEachDeclared(settings, held, (service, spec) => ledger.declare(service, spec));
  ledger.closeReservations();
}

/** Binds those that the incumbent, which has the listeners with these keys, does not have. @throws {StartError} */
export function reserveListeners(settings: Settings, ledger: Ledger, keys: ReadonlySet<string>): void {
  forEachDeclared(
    settings,
    () => keys,
    (_, spec) => {
      if (!keys.has(keyOf(spec))) ledger.reserve(spec);
    },
  );
}

/** As {@link declareListeners}, when the incumbent has died and its workers are about to give theirs up. */
export async function declareAfterDeath(settings: Settings, ledger: Ledger): Promise<void> {
  for (const deadline = performance.now() + AFTERLIFE_MS; ; ) {
    try {
      declareListeners(settings, ledger);
      return;
    } catch (error) {
      const inUse = error instanceof StartError && isSystemError(error.cause) && error.cause.code === 'EADDRINUSE';
      if (!inUse || performance.now() > deadline) throw error;
      await delay(RECONNECT_MS);
    }
  }
}

function forEachDeclared(
  { services, admin, user }: Settings,
  held: () => Iterable<string>,
  body: (service: string, spec: DeclaredListener) => void,
): void {
  const declared = services.flatMap(({ name, listeners }) => listeners.map((spec) => [name, spec] as const));
  if (admin !== null) declared.push([ADMIN, admin.listener]);
  for (const [service, spec] of declared) {
    try {
      body(service, spec);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      const holder = error.code === 'EADDRINUSE' ? (overlapWith(keyOf(spec), held()) ?? holderOf(spec)) : null;
      const why = holder?.text ?? bindAdvice(error.code, spec, user);
      const text = `service ${service}: ${error.syscall} ${error.code} ${keyOf(spec)}${why === null ? '' : ` (${why})`}`;
      const details = { service, listener: keyOf(spec), ...holder?.details };
      throw new StartError('ERR_MOTYA_LISTENER', text, { cause: error, details });
    }
  }
}
