import { readlinkSync, realpathSync } from 'node:fs';
import { textsIn } from '../base/os/processes.js';

/** What a command's caller has otherwise than the instance, whose successor is started with what that one has. */
export interface Differences {
  /** Names of variables, sorted. */
  readonly environment: readonly string[];
  /** Real paths; null: the same. */
  readonly node: { readonly instance: string; readonly here: string } | null;
}

/** What each terminal, shell, session or tool sets as it likes. */
const NOISE =
  /^(_|PWD|OLDPWD|SHLVL|PATH|TERM.*|COLORTERM|COLUMNS|LINES|LS_COLORS|LESS.*|PAGER|EDITOR|VISUAL|MAIL|MANPATH|HIST.*|PS\d|PROMPT.*|LANG|LANGUAGE|LC_.*|SSH_.*|SUDO_.*|XDG_.*|DBUS_.*|DISPLAY|WAYLAND_.*|WINDOWID|TMUX.*|STY|GPG_.*|VSCODE_.*|npm_.*|INIT_CWD|NVM_.*|USER|LOGNAME|HOME|SHELL|HOSTNAME|HOSTTYPE|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_.*|MEMORY_PRESSURE_.*|NOTIFY_SOCKET|LISTEN_.*|WATCHDOG_.*|MAINPID|MANAGERPID|RUNTIME_DIRECTORY|STATE_DIRECTORY|CACHE_DIRECTORY|LOGS_DIRECTORY|CONFIGURATION_DIRECTORY|FORCE_COLOR|NO_COLOR|MOTYA_.*)$/;

/** Null: another user's process, or one that has ended. */
export function differencesFrom(pid: number, env: NodeJS.ProcessEnv = process.env): Differences | null {
  try {
    const entries = textsIn(pid, 'environ').map((entry): [string, string] => {
      const at = entry.indexOf('=');
      return [entry.slice(0, at), entry.slice(at + 1)];
    });
    return { environment: namesOf(new Map(entries), env), node: nodeOf(pid) };
  } catch {
    return null;
  }
}

function namesOf(theirs: ReadonlyMap<string, string>, env: NodeJS.ProcessEnv): string[] {
  // A service manager gives few variables, and a shell has many of its own: only those that both have tell anything.
  const isManaged = theirs.has('INVOCATION_ID') && env.INVOCATION_ID === undefined;
  const names = Object.keys(env).filter((name) => !isManaged || theirs.has(name));
  return names.filter((name) => !NOISE.test(name) && theirs.get(name) !== env[name]).sort();
}

function nodeOf(pid: number): Differences['node'] {
  // Of one that was replaced on disk the kernel says so behind its path: the successor gets what is there now.
  const instance = readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  const here = realpathSync(process.execPath);
  return instance === here ? null : { instance, here };
}

/** Names that a line shows; beyond them their number says enough. */
const SHOWN = 8;

/** A line for each difference. */
export function differenceLines({ environment, node }: Differences): string[] {
  const more = environment.length > SHOWN ? ` and ${environment.length - SHOWN} more` : '';
  const names = `${environment.slice(0, SHOWN).join(', ')}${more}`;
  const how =
    'to take what is here, start the successor here, as the instance was started and with --upgrade, then run motya upgrade';
  return [
    ...(environment.length === 0
      ? []
      : [
          `the new version gets the instance's environment; ${names} ${environment.length === 1 ? 'has another value' : 'have other values'} there: ${how}`,
        ]),
    ...(node === null
      ? []
      : [`the new version runs on the instance's node (${node.instance}), not on ${node.here}: ${how}`]),
  ];
}
