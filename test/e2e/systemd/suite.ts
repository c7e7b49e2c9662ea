import { after, describe, it } from 'node:test';
import { missing, Sandbox, type System } from './harness.js';
import { Shop } from './shop.js';

/** A test with a shop of its own; `since`: systemd's version that it needs. */
export type Define = (name: string, run: (shop: Shop) => Promise<void>, needs?: { since?: number }) => void;

/** How much of the journal a failed test shows. */
const JOURNAL_CHARACTERS = 20_000;

/** Tests that share one booted sandbox. Where none can be booted they are skipped, and say what is missing. */
export async function onSystem(title: string, system: System, body: (define: Define) => void): Promise<void> {
  let skip = missing(system);
  let sandbox: Sandbox | null = null;
  try {
    if (skip === null) sandbox = await Sandbox.boot(system);
  } catch (error) {
    // A machine that does not let us make namespaces or cgroups, for example.
    if (process.env.SYSTEMD_SANDBOX_REQUIRED) throw error;
    skip = `a real systemd (${system}) cannot be booted here: ${(error as Error).message}`;
  }
  describe(sandbox === null ? title : `${title} (systemd ${sandbox.version})`, () => {
    after(() => sandbox?.close());
    body((name, run, { since = 0 } = {}) => {
      const old = sandbox !== null && sandbox.version < since ? `needs systemd ${since}` : false;
      it(name, { skip: skip ?? old }, async () => {
        if (sandbox !== null) await inShop(new Shop(sandbox), run);
      });
    });
  });
}

async function inShop(shop: Shop, run: (shop: Shop) => Promise<void>): Promise<void> {
  try {
    await run(shop);
  } catch (error) {
    console.log((await shop.journal()).slice(-JOURNAL_CHARACTERS));
    throw error;
  } finally {
    await shop.remove();
  }
}
