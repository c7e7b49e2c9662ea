/**
 * Given to `node --require` before a worker's program. CommonJS on purpose: `--import` would send a CommonJS program through
 * the ESM loader, where `node .` and `node server` (without `.js`) fail and `module.parent` is undefined instead of null.
 *
 * The variable is removed before the program runs, so its own children and threads, which inherit this option in execArgv,
 * find nothing to do here. Those of a `--require` before this one do find it. A thread leaves it alone, because it may
 * share the environment with the main thread (SHARE_ENV), whose turn is to come; a child has no channel, which `startRuntime` sees.
 */
const role = process.env.MOTYA_WORKER;
if (role !== undefined && (require('node:worker_threads') as typeof import('node:worker_threads')).isMainThread) {
  delete process.env.MOTYA_WORKER;
  const { startRuntime } = require('./start.js') as typeof import('./start.js');
  startRuntime(JSON.parse(role));
}
