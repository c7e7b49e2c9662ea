import { setFlagsFromString } from 'node:v8';

/**
 * For a process that waits nearly all its life: V8 would trade memory for speed that is not needed here (6 MiB of 50 on
 * Node 20, measured). Imported before anything else, while the heap is small. Workers are not affected.
 */
setFlagsFromString('--optimize-for-size');
// Each tier of compilers that never runs leaves its part of the node binary out of memory.
setFlagsFromString('--no-opt');
