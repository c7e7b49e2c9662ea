/** Where an instance of a drill is told that it is one: in its environment, which its successors and programs inherit. */
export const SANDBOX_ENV = 'MOTYA_SANDBOX';

/** Directory that everything of a drill is in. */
export interface Sandbox {
  readonly directory: string;
  /** Pid of the `motya drill` without which nothing of it may go on. */
  readonly owner: number;
}

export const sandboxText = ({ directory, owner }: Sandbox): string => `${owner}:${directory}`;

export function sandboxOf(env: NodeJS.ProcessEnv): Sandbox | null {
  const [, owner, directory] = /^(\d+):(\/.*)$/s.exec(env[SANDBOX_ENV] ?? '') ?? [];
  return owner === undefined || directory === undefined ? null : { directory, owner: Number(owner) };
}
