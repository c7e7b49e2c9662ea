import { execFile, execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../e2e/harness/index.js';

const DIRECTORY = `${ROOT}test/model/`;
const MODEL = 'handover.pml';

/** MiB of states: more than any run needs, and less than a small machine has. */
const MEMORY_MIB = 1500;
/** Steps of one run: far more than any has. */
const DEPTH = 20_000;
/** 2^22 slots of the hash table. */
const HASH_BITS = 22;

/** What spin and a C compiler are missing, as a reason to skip; null: they are there. */
export function missing(): string | null {
  try {
    execFileSync('spin', ['-V'], { stdio: 'pipe' });
    execFileSync('cc', ['--version'], { stdio: 'pipe' });
    return null;
  } catch (error) {
    const what = 'needs spin and a C compiler: apt-get install spin gcc';
    // .ci/run installs both.
    if (process.env.SYSTEMD_SANDBOX_REQUIRED) throw new Error(what, { cause: error });
    return what;
  }
}

/** How many instances, faults and orders the world has; see the head of the model. */
export interface World {
  readonly INSTANCES: 2 | 3;
  readonly FAULTS: number;
  readonly STOPS: number;
  readonly FREEZES: number;
  readonly UPGRADES: number;
}

/** Of moves.pml. */
export interface MovesWorld {
  readonly FAULTS: number;
}

export interface Checked {
  readonly errors: number;
  readonly states: number;
  /** Steps of the longest run. */
  readonly depth: number;
  /** Lines of the model with steps and messages that no run has come to. */
  readonly unreached: readonly string[];
  /** What spin has printed; after an error also the run that leads to it. */
  readonly output: string;
}

/**
 * Checks every run of the model in that world: `safety` what is asserted and where runs may end, `cycles` that each ends. Stops
 * at the first error. @throws {Error} it could not be searched to the end.
 */
export async function check(
  kind: 'safety' | 'cycles',
  world: World | MovesWorld,
  mutants: readonly string[] = [],
  model = MODEL,
): Promise<Checked> {
  const directory = mkdtempSync(join(tmpdir(), 'motya-model-'));
  const run = async (program: string, ...args: string[]): Promise<string> => {
    // pan ends with a status of its own after an error; what it prints tells.
    const { stdout, stderr } = await promisify(execFile)(program, args, { cwd: directory, maxBuffer: 1 << 26 });
    return stdout + stderr;
  };
  try {
    const defines = [
      ...Object.entries(world).map(([name, value]) => `-D${name}=${value}`),
      ...mutants.map((m) => `-D${m}`),
    ];
    copyFileSync(DIRECTORY + model, join(directory, model));
    await run('spin', ...defines, '-a', model);
    // Without partial order reduction: every statement that matters is global, and `timeout` and `unless` do not go with it.
    const options = ['-DNOREDUCE', `-DMEMLIM=${MEMORY_MIB}`, kind === 'safety' ? '-DSAFETY' : '-DNP'];
    // Compiling with optimization takes longer than it saves.
    await run('cc', '-O0', '-w', ...options, '-o', 'pan', 'pan.c');
    const searched = await run('./pan', `-m${DEPTH}`, `-w${HASH_BITS}`, ...(kind === 'cycles' ? ['-l'] : []));
    const [, depth, errors] = /depth reached (\d+), errors: (\d+)/.exec(searched) ?? [];
    const [, states] = /(\d+) states, stored/.exec(searched) ?? [];
    if (
      /max search depth too small|out of memory|reached -DMEMLIM|Search not completed/.test(searched) &&
      errors === '0'
    ) {
      throw new Error(`the search is not complete:\n${searched}`);
    }
    if (depth === undefined || states === undefined) throw new Error(`spin has not searched:\n${searched}`);
    const way = errors === '0' ? '' : await run('spin', ...defines, '-t', model);
    return {
      errors: Number(errors),
      states: Number(states),
      depth: Number(depth),
      unreached: unreachedIn(searched),
      output: searched + way,
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The steps and the messages among what pan lists; the rest of it are the branches in between, once for each use of a macro. */
function unreachedIn(output: string): string[] {
  const lines = readFileSync(DIRECTORY + MODEL, 'utf8').split('\n');
  const found = output.matchAll(
    /^\t\S*handover\.pml:(\d+), state \d+, "(assert\(\(phase\[me\]==|(?:down|up)\[\w+\][!?]\d)/gm,
  );
  return [...new Set([...found].map(([, line]) => `${line}: ${lines[Number(line) - 1]?.trim()}`))];
}

/** The names that the model declares in an mtype. */
export function declared(kind: 'phase' | 'message'): string[] {
  const [, body = ''] = new RegExp(`^mtype:${kind} = \\{([^}]*)\\}`, 'm').exec(source()) ?? [];
  return body.split(/[\s,]+/).filter((name) => name !== '');
}

/** The steps that the model makes, as `from event to`, each once. */
export function steps(): string[] {
  const found = source().matchAll(/\bSTEP\((\w+), (\w+), (\w+)\)/g);
  return [...new Set([...found].map(([, from, event, to]) => `${from} ${event} ${to}`))].filter(
    (step) => step !== 'from event to',
  );
}

/** The messages that are sent by a side, or read by the other. */
export function spoken(pattern: RegExp): string[] {
  return [...new Set([...source().matchAll(pattern)].map(([, message]) => message as string))].sort();
}

/** Whether phases change by STEP alone: by its definition, and at the start of a process. */
export function otherAssignments(): string[] {
  return source()
    .split('\n')
    .filter((line) => /phase\[\w+\] = /.test(line))
    .map((line) => line.trim());
}

/** Without comments. */
function source(): string {
  return readFileSync(DIRECTORY + MODEL, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
}
