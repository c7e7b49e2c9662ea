/**
 * In NODE_OPTIONS of what a worker's program starts (./branch-env.ts). Most of these processes never listen, so little is loaded
 * here, and nothing where the Node is another, older one. A worker that is being started has a role of its own.
 */
const place = process.env.MOTYA_BRANCH_OF;
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const isOld = major < 20 || (major === 20 && minor < 19) || (major === 22 && minor < 12);
if (place !== undefined && process.env.MOTYA_WORKER === undefined && !isOld) {
  const { isMainThread } = require('node:worker_threads') as typeof import('node:worker_threads');
  if (isMainThread) (require('./branch.cjs') as typeof import('./branch.js')).offerBranch(JSON.parse(place));
}
