export { makeCertificate } from './certificate.js';
export { Child, type Exit, type LogLine, parseLogs, untagged, type WaitOptions } from './child.js';
export { codeOf } from './failure-code.js';
export { lacks, PACKAGES } from './needs.js';
export { app, CLI, ROOT } from './paths.js';
export { type Place, placesIn } from './places.js';
export { freePort, freePorts } from './ports.js';
export * from './proc.js';
export { DEADLINE_MS, until } from './until.js';
export {
  type Result,
  readLogFile,
  readPidfile,
  type StartOptions,
  type StatusView,
  Workspace,
  workspace,
} from './workspace.js';
