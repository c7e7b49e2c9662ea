import { recipes } from './recipes.js';

await recipes('debian-13');
