export { type Answer, type Asked, ClientConnection, headOf, textOf } from './connection.js';
export { Fleet, type FleetOptions } from './fleet.js';
export type { Habit } from './habits.js';
export { type Report, Tally } from './tally.js';
