export { loadSettings } from './config/load.js';
export { resolveSettings } from './config/resolve.js';
export type { SettingsInput } from './config/schema.js';
export type { LogSettings, ServiceSettings, Settings } from './config/settings.js';
export { HandoverError, MotyaError, ProtocolError, SettingsError, StartError, type SystemError } from './errors.js';
export type { Phase } from './handover/phases.js';
export { createLogger, type InstanceLog, type Logger } from './observe/log.js';
export { handleSignals } from './signals.js';
export { type Ended, Supervisor, type SupervisorEvents, type Upgraded, type UpgradeOptions } from './supervisor.js';
