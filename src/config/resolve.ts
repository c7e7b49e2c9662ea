import { accessSync, constants, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { SettingsError } from '../base/errors.js';
import type { Account } from '../base/os/account.js';
import { findAccount } from '../base/os/account.js';
import { adminSocketOf, controlSocketOf, defaultName, socketPathProblem } from '../base/os/paths.js';
import { directoryOf } from '../base/os/places.js';
import { nameOf, PASSABLE } from '../base/os/signal-names.js';
import { causeOf } from './document.js';
import { drainProblems, drainTimeoutOf, drainTimes } from './drain-settings.js';
import { saysOtherwise } from './options.js';
import { whyPm2Settings } from './pm2-settings.js';
import { type Locate, linesOf, type Problem, problemsOf, valueAt } from './problems.js';
import { absolutePath } from './resolve-path.js';
import type { Sandbox } from './sandbox.js';
import type { AdminSettings, DeclaredListener, ServiceSettings, Settings } from './settings.js';
import { type SettingsInput, settingsObject, type ValidSettings } from './settings-schema.js';
import { transportProblems, transportsOf } from './transport-modules.js';
import { parseOctal } from './values.js';

/** Mode of the admin socket's file: only its user reads. */
const ADMIN_MODE = '600';

/** What settings are resolved against. */
export interface ResolveContext {
  /** Absolute; as typed, that is with symlinks unresolved. Relative paths start here, unless a settings file is the source. */
  readonly cwd: string;
  /** Where the runtime directory is looked up. */
  readonly env: NodeJS.ProcessEnv;
  /** Absolute path of the settings file, whose directory relative paths start from; null without one. */
  readonly source: string | null;
  /** The instance is to take over from a running one. */
  readonly upgrade?: boolean;
  /** See {@link Settings}. */
  readonly force?: boolean;
  readonly allowRemoved?: boolean;
  readonly adopt?: number | null;
  /** Name of the instance when the settings give none; without it the name of the source or the script, and a hash. */
  readonly fallbackName?: string;
  readonly sandbox?: Sandbox | null;
  readonly warnings?: readonly string[];
  /** Where the parts of the input come from, for error messages. */
  readonly locate?: Locate;
}

/**
 * Checks settings and fills in what they leave out.
 * @param input the content of motya.yaml, or the same object from a program
 * @throws {SettingsError} with one line for every problem there is
 */
export function resolveSettings(input: SettingsInput, context: ResolveContext): Settings {
  const base = context.source === null ? context.cwd : dirname(context.source);
  const result = settingsObject.safeParse(input);
  const problems = [...programProblems(input, base), ...transportProblems(input, base)];
  if (!result.success) problems.push(...problemsOf(result.error.issues, input));
  if (result.success && input.services === undefined) {
    problems.push({
      path: ['services'],
      part: 'key',
      text: 'missing; name a service, or give a script on the command line',
    });
  }
  if (result.success) problems.push(...formerNameProblems(result.data), ...drainProblems(input, result.data));
  const { account, problems: unknown } = result.success ? accountOf(result.data) : { account: null, problems: [] };
  problems.push(...unknown);
  const settings = result.success && problems.length === 0 ? fillIn(result.data, account, base, context) : null;
  if (settings !== null) problems.push(...pathProblems(settings), ...sharedListeners(settings));
  if (settings !== null && problems.length === 0) return settings;
  throw new SettingsError(linesOf(problems, context.locate ?? (() => ({ text: '', names: false }))));
}

/** A former name may stand alone, or say the same. */
function formerNameProblems({ keeper, supervise }: ValidSettings): Problem[] {
  if (keeper === undefined || supervise === undefined || keeper === supervise) return [];
  return [{ path: ['supervise'], part: 'key', text: saysOtherwise('keeper') }];
}

function fillIn(valid: ValidSettings, user: Account | null, base: string, context: ResolveContext): Settings {
  const services = Object.entries(valid.services ?? {}).map(
    ([name, { drainTimeout, drain, ...service }]): ServiceSettings => ({
      ...service,
      name,
      script: absolutePath(base, service.script),
      cwd: absolutePath(base, service.cwd ?? '.'),
      workers: service.workers === 'auto' ? availableParallelism() : service.workers,
      listeners: service.listeners.map((listener) => absoluteListener(base, listener)),
      drainTimeout: drainTimeoutOf({ drain, drainTimeout }, valid),
      drain: drainTimes({ drain, drainTimeout }, valid),
      killSignal: `SIG${service.killSignal}`,
    }),
  );
  const name = valid.name ?? context.fallbackName ?? defaultName(context.source ?? services[0]?.script ?? base);
  const directory = directoryOf(name, context.env, user);
  const upgradeSocket = valid.upgradeSocket ? absolutePath(base, valid.upgradeSocket) : join(directory, `${name}.sock`);
  return {
    name,
    services,
    pidfile: valid.pidfile ? absolutePath(base, valid.pidfile) : join(directory, `${name}.pid`),
    upgradeSocket,
    controlSocket: controlSocketOf(upgradeSocket),
    runtimeDirectory: valid.pidfile && valid.upgradeSocket ? null : directory,
    user,
    daemonize: valid.daemonize,
    keeper: valid.keeper ?? valid.supervise ?? 'auto',
    upgrade: context.upgrade ?? false,
    force: context.force ?? false,
    allowRemoved: context.allowRemoved ?? false,
    adopt: context.adopt ?? null,
    drainTimeout: drainTimeoutOf(valid),
    drain: drainTimes(valid),
    probation: valid.probation,
    health: { path: valid.health.path ?? null, crashes: valid.health.crashes, errors: valid.health.errors ?? null },
    passedSignals: PASSABLE.filter((name) => valid.signals[name] === 'pass').map(nameOf),
    upgradeWait: valid.upgradeWait,
    readyTimeout: valid.readyTimeout,
    onQuit: valid.onQuit,
    umask: valid.umask ?? null,
    log: {
      ...valid.log,
      file: valid.log.file ? absolutePath(base, valid.log.file) : null,
      transports: transportsOf(valid.log.transports, base, context.locate),
    },
    admin: adminOf(valid.admin, base, upgradeSocket),
    source: context.source,
    sandbox: context.sandbox ?? null,
    warnings: context.warnings ?? [],
  };
}

function adminOf(
  { listen, mode, public: isPublic }: ValidSettings['admin'],
  base: string,
  upgradeSocket: string,
): AdminSettings | null {
  if (listen === null) return null;
  if (listen !== undefined && listen.family !== 'unix') return { listener: listen, isPrivate: isPublic };
  const path = listen === undefined ? adminSocketOf(upgradeSocket) : absolutePath(base, listen.path);
  const listener = { family: 'unix', type: 'stream', path, mode: parseOctal(mode ?? ADMIN_MODE) } as const;
  return { listener, isPrivate: true };
}

function accountOf({ user, group }: ValidSettings): { account: Account | null; problems: Problem[] } {
  const found = findAccount(user, group);
  if (!('unknown' in found)) return { account: found.account, problems: [] };
  return { account: null, problems: [{ path: [found.unknown], part: 'value', text: found.text }] };
}

function absoluteListener(base: string, listener: DeclaredListener): DeclaredListener {
  if (listener.family !== 'unix' || listener.path.startsWith('\0')) return listener;
  return { ...listener, path: absolutePath(base, listener.path) };
}

/** Scripts that node could not run, and working directories that are not there. The input may be wrong in any other way too. */
function programProblems(input: unknown, base: string): Problem[] {
  const services = valueAt(input, ['services']);
  if (typeof services !== 'object' || services === null) return [];
  const problemOf = (path: string[], whyNot: (path: string) => string | null): Problem[] => {
    const value = valueAt(input, path);
    if (typeof value !== 'string' || value === '') return [];
    const cause = whyNot(absolutePath(base, value));
    return cause === null ? [] : [{ path, part: 'value', text: cause }];
  };
  return Object.keys(services).flatMap((name) => [
    ...problemOf(['services', name, 'script'], (file) => whyNotRunnable(file) ?? whyPm2Settings(file)),
    ...problemOf(['services', name, 'cwd'], whyNoDirectory),
  ]);
}

/** What is wrong with a working directory for this process, or null. */
function whyNoDirectory(path: string): string | null {
  try {
    return statSync(path).isDirectory() ? null : 'is not a directory';
  } catch (error) {
    const cause = causeOf(error);
    return cause === 'no such file' ? 'no such directory' : cause;
  }
}

/** Why the real user of this process cannot run a script (access(2)), or null. */
export function whyNotRunnable(script: string): string | null {
  let isDirectory = false;
  try {
    accessSync(script, constants.R_OK);
    const stat = statSync(script);
    if (stat.isFile()) return null;
    isDirectory = stat.isDirectory();
  } catch (error) {
    if (causeOf(error) !== 'no such file') return causeOf(error);
  }
  try {
    // `node .` and `node server` are right too: a directory with a main file, a name without its ending.
    createRequire(script).resolve(script);
    return null;
  } catch {
    return isDirectory ? 'is a directory without a main file' : 'no such file';
  }
}

/** Services do not share clients unasked. */
function sharedListeners({ services }: Settings): Problem[] {
  const owners = new Map<string, string>();
  return services.flatMap(({ name, listeners }) =>
    listeners.flatMap((listener, index): Problem[] => {
      const key = addressOf(listener);
      const owner = key === null ? name : (owners.get(key) ?? name);
      if (key !== null) owners.set(key, owner);
      if (owner === name) return [];
      const path = ['services', name, 'listeners', index];
      return [{ path, part: 'value', text: `service ${owner} has it already; name another address` }];
    }),
  );
}

/** Null: each is another one. */
function addressOf(listener: DeclaredListener): string | null {
  if (listener.family === 'systemd') return `systemd:${listener.name}`;
  if (listener.family === 'unix') return listener.path;
  const { type, address, port } = listener;
  return port === 0 ? null : `${type} ${address} ${port}`;
}

function pathProblems(settings: Settings): Problem[] {
  const sockets = [settings.upgradeSocket, settings.controlSocket].map((path) => ({
    path: ['upgradeSocket'],
    socket: path,
  }));
  const listeners = settings.services.flatMap(({ name, listeners }) =>
    listeners.flatMap((listener, index) =>
      listener.family === 'unix' ? [{ path: ['services', name, 'listeners', index], socket: listener.path }] : [],
    ),
  );
  const { admin } = settings;
  const path = admin?.listener.family === 'unix' ? admin.listener.path : null;
  // The default path is shorter than the control socket's.
  const isGiven = path !== null && path !== adminSocketOf(settings.upgradeSocket);
  const own = isGiven ? [{ path: ['admin', 'listen'], socket: path }] : [];
  return [...sockets, ...listeners, ...own].flatMap(({ path, socket }): Problem[] => {
    const text = socketPathProblem(socket);
    return text === null ? [] : [{ path, part: 'value', text }];
  });
}
