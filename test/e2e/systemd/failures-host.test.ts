import { failures } from './failures.js';

await failures('host');
