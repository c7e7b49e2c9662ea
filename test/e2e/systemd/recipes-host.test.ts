import { recipes } from './recipes.js';

await recipes('host');
