import { units } from './units.js';

await units('debian-13');
