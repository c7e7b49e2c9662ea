import { createRequire } from 'node:module';
import { join } from 'node:path';
import { reasonOf } from '../base/errors.js';
import { type Locate, type Problem, valueAt } from './problems.js';
import { absolutePath } from './resolve-path.js';
import type { LogTransport } from './settings.js';
import type { ValidSettings } from './settings-schema.js';

type Written = ValidSettings['log']['transports'][number];

/** The modules of `log.transports`, found from the directory `base` but not loaded. */
export function transportsOf(written: readonly Written[], base: string, locate: Locate | undefined): LogTransport[] {
  return written.map(({ module, export: name = null, level = null, options }, index) => {
    const path = ['log', 'transports', index];
    const place = locate?.([...path, 'module'], 'value').text ?? '';
    return {
      module,
      path: find(module, base),
      export: name,
      options,
      level,
      place: [place, path.join('.')].filter((word) => word !== '').join(': '),
    };
  });
}

/** Modules that are not there. The input may be wrong in any other way too. */
export function transportProblems(input: unknown, base: string): Problem[] {
  const transports = valueAt(input, ['log', 'transports']);
  if (!Array.isArray(transports)) return [];
  return transports.flatMap((one, index): Problem[] => {
    const module = valueAt(one, ['module']);
    if (typeof module !== 'string' || module === '') return [];
    try {
      find(module, base);
      return [];
    } catch (error) {
      return [{ path: ['log', 'transports', index, 'module'], part: 'value', text: whyNot(module, base, error) }];
    }
  });
}

const isPath = (module: string): boolean => /^\.{0,2}\//.test(module);

/** @throws {Error} as `require.resolve()` */
function find(module: string, base: string): string {
  const require = createRequire(join(base, 'motya.yaml'));
  return require.resolve(isPath(module) ? absolutePath(base, module) : module);
}

function whyNot(module: string, base: string, error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'MODULE_NOT_FOUND') {
    if (isPath(module)) return `no such file: ${absolutePath(base, module)}`;
    return `no package ${JSON.stringify(module)} can be found from ${base}; install it there, or give a path that begins with ./`;
  }
  if (code === 'ERR_PACKAGE_PATH_NOT_EXPORTED')
    return 'the package has nothing for require(); give the path of its file';
  return `cannot be found: ${reasonOf(error).split('\n')[0]}`;
}
