import Module from 'node:module';

/**
 * Loaded before `motya` (`node --import`): it then runs from its modules instead of the bundle that the build has made of them, so that
 * a test can change one of them.
 */
type Load = (request: string, ...rest: unknown[]) => unknown;
const internals = Module as unknown as { _load: Load };
const load = internals._load;
internals._load = (request, ...rest) =>
  request === './cli/main.cjs'
    ? { main: async () => (await import('#src/cli/main.js')).main() }
    : load.call(Module, request, ...rest);
