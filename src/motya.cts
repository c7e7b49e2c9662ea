#!/usr/bin/env node
// The first file of the command: a Node that is too old must be able to read it, so nothing newer than 2015 but import().

/** As `engines` in package.json. */
const numbers = process.versions.node.split('.').map(Number);
const major = numbers[0] || 0;
const minor = numbers[1] || 0;

if ((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22) {
  // Until an instance has its own handlers these would end it, or open a debugger in it.
  process.on('SIGUSR1', () => {}).on('SIGUSR2', () => {});
  if (process.env.NODE_OPTIONS) {
    try {
      // At once: an error of what it has loaded there would end this process before a promise settles.
      require('./cli/own-node-options.js');
    } catch (_error) {
      // Without the addon; the command says so.
    }
  }
  if (isSomewhere()) {
    Promise.resolve()
      // Written by the build: cli/main.js and all that it imports, in one file (scripts/bundles.mjs).
      .then(() => (require('./cli/main.cjs') as typeof import('./cli/main.js')).main())
      .catch((error) => {
        // Thrown as from a module that was started directly.
        setImmediate(() => {
          throw error;
        });
      });
  } else {
    // Codes as of src/cli/failure-line.ts, which cannot be loaded here.
    console.error('motya: the working directory has been removed; change to one that exists (ERR_MOTYA_FILE_MISSING)');
    process.exitCode = 1;
  }
} else {
  const found = `${process.versions.node} (${process.execPath})`;
  console.error(`motya: Node 20.19, 22.12 or later is needed; this is ${found} (ERR_MOTYA_PLATFORM)`);
  process.exitCode = 1;
}

/** False in a directory that was removed, such as that of an old release (getcwd(2), ENOENT). */
function isSomewhere() {
  try {
    process.cwd();
    return true;
  } catch (_error) {
    return false;
  }
}
