/**
 * Given to `node --require` before a worker's program, and before everything that the program itself has loaded that way: by its
 * `nodeArgs`, and by NODE_OPTIONS, where this stands in front until it has run. CommonJS on purpose: `--import` would send a CommonJS
 * program through the ESM loader, where `node .` and `node server` (without `.js`) fail and `module.parent` is undefined instead of
 * null.
 *
 * The variable is removed before the program runs, so its own threads, which inherit this option, find nothing to do here. A thread
 * leaves it alone, because it may share the environment with the main thread (SHARE_ENV); a child has no channel, which
 * `startRuntime` sees.
 */
const role = process.env.MOTYA_WORKER;
const { isMainThread } = require('node:worker_threads') as typeof import('node:worker_threads');
const parsed = role === undefined ? null : (JSON.parse(role) as import('./worker-messages.js').WorkerRole);
// The program and its children find it as it was.
if (parsed?.nodeOptions !== undefined && isMainThread) process.env.NODE_OPTIONS = parsed.nodeOptions;
// In a drill: it looks at what is below the runtime's own hooks, in threads of the program, too.
if (process.env.MOTYA_SANDBOX !== undefined) require('./drill-recorder.cjs');
if (parsed !== null && isMainThread) {
  delete process.env.MOTYA_WORKER;
  // fork() passes them on to children, which would not start once this file's release has been removed.
  const at = process.execArgv.indexOf(__filename);
  if (at > 0) process.execArgv.splice(at - 1, 2);
  // Written by the build: install.js and all that it imports, in one file.
  const { startRuntime } = require('./install.cjs') as typeof import('./install.js');
  startRuntime(parsed);
}
