export type { Defect } from './base/background.js';
export type { ErrorCode, FailureCode, SystemCode } from './base/error-catalog.js';
export {
  HandoverError,
  MotyaError,
  ProtocolError,
  SettingsError,
  StartError,
  type SystemError,
} from './base/errors.js';
export { loadSettings } from './config/load.js';
export { resolveSettings } from './config/resolve.js';
export type { LogSettings, LogTransport, ServiceSettings, Settings } from './config/settings.js';
export type { SettingsInput } from './config/settings-schema.js';
export { createLogger, type InstanceLog, type Logger } from './logging/log.js';
export { loadTransports, type Transport } from './logging/transports.js';
export type { Phase } from './status/phases.js';
export type { Ended, SupervisorEvents, Upgraded, UpgradeOptions } from './supervisor/events.js';
export { logEvents } from './supervisor/log-events.js';
export { handleSignals } from './supervisor/signal-handlers.js';
export { Supervisor } from './supervisor/supervisor.js';
