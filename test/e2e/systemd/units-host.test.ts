import { units } from './units.js';

await units('host');
