export { createLogger, format, transports } from 'winston';
