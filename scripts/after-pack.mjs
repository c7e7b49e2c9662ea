// `prepack` builds the addon and moves it to prebuilds/ (prebuildify). Once the tarball is made, the addon goes back to build/, where
// the build of a checkout is: a prebuilds/ that stayed would be loaded, and keep `npm ci` from compiling, after native/ has changed.
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const built = join(root, 'build', 'Release', 'motya.node');
const packed = createRequire(import.meta.url)('node-gyp-build').path(root);
if (packed !== built) {
  mkdirSync(dirname(built), { recursive: true });
  copyFileSync(packed, built);
}
rmSync(join(root, 'prebuilds'), { recursive: true, force: true });
