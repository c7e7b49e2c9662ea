import type { LoadHook } from 'node:module';

const OWNED = 'work.catch(';

/** Puts the failure of a test between background work and its owner, in the source of the helper that all of it goes through. */
export const load: LoadHook = async (url, context, nextLoad) => {
  const loaded = await nextLoad(url, context);
  if (!url.endsWith('/base/background.js')) return loaded;
  const source = String(loaded.source);
  if (!source.includes(OWNED)) throw new Error(`${url} has no ${OWNED}`);
  return { ...loaded, source: source.replace(OWNED, 'globalThis.failingWork(during, work).catch(') };
};
