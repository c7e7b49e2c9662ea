import { execFileSync } from 'node:child_process';
import { chmodSync, lstatSync, mkdirSync, readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { app, type Child, freePort, type Result, ROOT, until, type Workspace, workspace } from '../harness/index.js';
import { type FullStatus, type Who, who } from '../scene.js';

/** A user and a group without names, so that no user database is needed, and files of theirs cannot be mistaken. */
export const USER = 61_234;
export const GROUP = 61_235;
/** Somebody else. */
export const THIRD = 61_236;

/** Option of a test or suite that needs root, and a repository that every user can read. */
export const needsRoot = { skip: whyNot() };

function whyNot(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    execFileSync(
      process.execPath,
      ['-e', `require('node:fs').readFileSync(${JSON.stringify(`${ROOT}package.json`)})`],
      {
        uid: USER,
        gid: GROUP,
        stdio: 'ignore',
      },
    );
    return false;
  } catch {
    return 'needs a repository, and a node, that every user can read';
  }
}

/** A port that only root may bind, and that nobody else has or gets. */
export const lowPort = (): Promise<number> => freePort([200, 1000]);

export interface Ids {
  /** Real, effective, saved, file system. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly groups: readonly number[];
  /** Permitted, effective, ambient. */
  readonly capabilities: readonly string[];
}

export function idsOf(pid: number): Ids {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): string[] =>
    (new RegExp(`^${name}:(.*)$`, 'm').exec(status)?.[1] ?? '').split(/\s+/).filter((word) => word !== '');
  return {
    uids: field('Uid').map(Number),
    gids: field('Gid').map(Number),
    groups: field('Groups').map(Number),
    capabilities: ['CapPrm', 'CapEff', 'CapAmb'].flatMap(field),
  };
}

/** What {@link idsOf} must say of every process of the user. */
export const DROPPED: Ids = {
  uids: Array(4).fill(USER),
  gids: Array(4).fill(GROUP),
  groups: [GROUP],
  capabilities: Array(3).fill('0'.repeat(16)),
};

export function ownerOf(path: string): string {
  const { uid, gid } = lstatSync(path);
  return `${uid}:${gid}`;
}
export const OURS = `${USER}:${GROUP}`;

/** A workspace whose instances root starts for {@link USER}; `multi.mjs` listens wherever `LISTEN` says. */
export class PrivilegedScene {
  readonly space: Workspace;
  readonly port: number;
  /** `$TMPDIR` of all processes: the runtime directories of all users are in it. */
  readonly temporary: string;
  readonly runtime: string;
  readonly config: string;

  constructor(space: Workspace, port: number) {
    this.space = space;
    this.port = port;
    // As /tmp is.
    chmodSync(space.dir, 0o755);
    this.temporary = space.path('tmp');
    mkdirSync(this.temporary);
    chmodSync(this.temporary, 0o1777);
    this.runtime = `${this.temporary}/motya-${USER}`;
    this.config = space.path('motya.yaml');
    this.configure();
  }

  /** Writes the settings: `listeners` are declared; `listen` is what the program asks for. */
  configure({
    listeners = [`tcp://127.0.0.1:${this.port}`],
    listen = String(this.port),
    script = app('multi.mjs'),
    more = '',
    transports = '',
  } = {}): void {
    this.space.write(
      'motya.yaml',
      `name: app
user: ${USER}
group: ${GROUP}
services:
  web:
    script: ${script}
    env: { LISTEN: '${listen}' }
    listeners: ${JSON.stringify(listeners)}
log: { format: json${transports} }
${more}
`,
    );
  }

  /** Of this instance's commands; undefined takes a variable away. */
  get env(): Record<string, string | undefined> {
    return { MOTYA_USER: undefined, TMPDIR: this.temporary, RUNTIME_DIRECTORY: this.runtime };
  }

  start(args: readonly string[] = [], env: Record<string, string | undefined> = {}): Child {
    return this.space.motya(['start', '--config', this.config, ...args], { env: { ...this.env, ...env } });
  }

  async first(args: readonly string[] = [], env: Record<string, string | undefined> = {}): Promise<Child> {
    const child = this.start(args, env);
    await child.waitFor('serving');
    return child;
  }

  /** A command of root's, in a directory without settings. */
  run(...args: string[]): Promise<Result> {
    return this.space.run(args, { env: this.env, cwd: this.temporary });
  }

  async status(): Promise<FullStatus> {
    const { code, stdout, stderr } = await this.run('status', '--json', '--name', 'app');
    if (code !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as FullStatus;
  }

  who(): Promise<Who> {
    return who(this.port);
  }

  get mainPid(): number {
    return Number(readFileSync(`${this.runtime}/app.pid`, 'utf8'));
  }

  /** The supervisor and all its workers. */
  async processes(): Promise<number[]> {
    const { pid, services } = await this.status();
    return [pid, ...services.flatMap(({ workers }) => workers.flatMap((worker) => worker.pid ?? []))];
  }

  async isAt(generation: number): Promise<void> {
    await until(async () => (await this.who()).generation === String(generation), {
      what: `generation ${generation}`,
    });
  }
}

export async function privilegedScene(test: TestContext): Promise<PrivilegedScene> {
  return new PrivilegedScene(workspace(test), await lowPort());
}
