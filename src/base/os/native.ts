import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { MotyaError, reasonOf } from '../errors.js';
import type { Native } from './native-calls.js';

export type * from './native-calls.js';
export type * from './native-types.js';

function load(): Native {
  if (process.platform !== 'linux') {
    throw new MotyaError(
      'ERR_MOTYA_PLATFORM',
      `motya needs Linux (SCM_RIGHTS over SEQPACKET, /proc); this is ${process.platform}`,
    );
  }
  const require = createRequire(import.meta.url);
  try {
    const nodeGypBuild = require('node-gyp-build') as (dir: string) => Native;
    return nodeGypBuild(fileURLToPath(new URL('../../..', import.meta.url)));
  } catch (error) {
    throw new MotyaError(
      'ERR_MOTYA_ADDON',
      `the native addon cannot be loaded: ${reasonOf(error)}; run \`npm rebuild motya\``,
      { cause: error },
    );
  }
}

export const native: Native = load();
