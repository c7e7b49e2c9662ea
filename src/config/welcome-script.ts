import { fileURLToPath } from 'node:url';

/** Path of the program that runs when the settings name none. */
export const WELCOME_SCRIPT = fileURLToPath(new URL('../runtime/welcome.js', import.meta.url));
