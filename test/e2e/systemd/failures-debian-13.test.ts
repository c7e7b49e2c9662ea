import { failures } from './failures.js';

await failures('debian-13');
