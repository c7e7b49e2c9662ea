/** Where an instance of a drill is told that it is one: in its environment, which its successors and programs inherit. */
export const SANDBOX_ENV = 'MOTYA_SANDBOX';

/** Folder that everything of a drill is in. */
export interface Sandbox {
  readonly folder: string;
  /** Pid of the `motya drill` without which nothing of it may go on. */
  readonly owner: number;
}

export const sandboxText = ({ folder, owner }: Sandbox): string => `${owner}:${folder}`;

export function sandboxOf(env: NodeJS.ProcessEnv): Sandbox | null {
  const [, owner, folder] = /^(\d+):(\/.*)$/s.exec(env[SANDBOX_ENV] ?? '') ?? [];
  return owner === undefined || folder === undefined ? null : { folder, owner: Number(owner) };
}
