import { spawnSync } from 'node:child_process';
import type { TestContext } from 'node:test';
import { type Child, childrenOf, freePort, until, Workspace } from '../harness/index.js';
import { Scene } from '../scene.js';

const UNSHARE = ['--pid', '--fork', '--mount-proc', '--kill-child', '--'];

/** Why no command can be run as PID 1 here; false when it can. */
export const noContainer: string | false = (() => {
  if (process.getuid?.() !== 0) return 'a pid namespace needs root';
  const { status, stderr, error } = spawnSync('unshare', [...UNSHARE, 'true'], { encoding: 'utf8' });
  return status === 0 ? false : `unshare: ${error?.message ?? stderr.trim()}`;
})();

/** A command that runs as PID 1 of a pid namespace, as the first process of a container does. */
export class Container {
  readonly unshare: Child;
  /** PID 1, by its pid outside. */
  readonly init: number;

  private constructor(unshare: Child, init: number) {
    this.unshare = unshare;
    this.init = init;
  }

  static async start(space: Workspace, command: readonly string[], options: Parameters<Workspace['start']>[2] = {}) {
    const unshare = space.start('unshare', [...UNSHARE, ...command], options);
    const child = () => childrenOf(unshare.pid)[0];
    const init = await until(() => child() ?? (unshare.exit === undefined ? undefined : -1), { what: 'PID 1' });
    return new Container(unshare, init);
  }

  /** To PID 1, as `docker stop` and `docker kill -s` do it. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.init, signal);
  }

  /** The instances, by their pids outside: the pidfile has those inside. */
  children(): number[] {
    return childrenOf(this.init);
  }

  /** Ends the namespace with all that is in it, if it is still there. */
  async close(): Promise<void> {
    if (this.unshare.exit !== undefined) return;
    this.unshare.kill('SIGKILL');
    await this.unshare.exited;
  }
}

/** A scene whose containers end before its workspace is closed. */
export async function containers(test: TestContext, script: (space: Workspace) => string) {
  const space = new Workspace();
  const stage = new Scene(space, await freePort(), script(space));
  const started: Container[] = [];
  test.after(async () => {
    for (const container of started) await container.close();
    await space.close();
  });
  const contain = async (command: readonly string[], options: Parameters<Workspace['start']>[2] = {}) => {
    const env = { PORT: String(stage.port), ...options.env };
    const container = await Container.start(space, command, { ...options, env });
    started.push(container);
    return container;
  };
  return { stage, contain };
}
