import { readFileSync } from 'node:fs';
import { typedInvocation } from '../base/os/invocation.js';
import { native } from '../base/os/native.js';
import { isActive, SET_ASIDE } from '../base/os/node-options.js';

/**
 * Loaded before anything else of the command: a shell has started node with the NODE_OPTIONS of the programs, which have loaded
 * code of theirs into this process by now. The command takes its place, with the same pid, and without them.
 */
const options = process.env.NODE_OPTIONS;
if (options !== undefined && isActive(options)) startAnew(options);

function startAnew(setAside: string): void {
  // argv[0] is the path, so that the same node is found again.
  const { file, args } = typedInvocation();
  const variables = startVariables().filter((text) => !/^(MOTYA_)?NODE_OPTIONS=/.test(text));
  const find = (name: string): string | undefined =>
    variables.find((text) => text.startsWith(`${name}=`))?.slice(name.length + 1);
  try {
    native.process.exec(file, [file, ...args], [...variables, `${SET_ASIDE}=${setAside}`], inheritedFds(find, args));
  } catch {
    // Another node at the path, or a limit: this one goes on, with what it has loaded.
  }
}

/** As this process was started: what code of the program has set since (dotenv) is no business of the supervisor. */
function startVariables(): string[] {
  try {
    return readFileSync('/proc/self/environ', 'utf8').split('\0').slice(0, -1);
  } catch {
    // Not readable for a process whose executable has capabilities.
    return Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  }
}

/** Node makes all fds CLOEXEC that it was started with. These are meant for the command. */
function inheritedFds(find: (name: string) => string | undefined, args: readonly string[]): number[] {
  const passed = find('LISTEN_PID') === String(process.pid) ? Number(find('LISTEN_FDS')) : 0;
  const named = ['MOTYA_READY_FD', 'NODE_CHANNEL_FD'].map((name) => Number(find(name) ?? Number.NaN));
  // `--config <(…)`
  const written = args.map((word) => Number(/\/(?:dev|proc\/self)\/fd\/(\d+)$/.exec(word)?.[1] ?? Number.NaN));
  const listening = Array.from({ length: passed || 0 }, (_, index) => 3 + index);
  return [...new Set([0, 1, 2, ...listening, ...named, ...written])].filter(Number.isInteger);
}
