/** The code of the failure that a command has printed on stderr: `motya: no instance … (ERR_MOTYA_NOT_RUNNING)`; null: none. */
export function codeOf(stderr: string): string | null {
  return / \((ERR_MOTYA_[A-Z0-9_]+|E[A-Z0-9]+)\):?$/m.exec(stderr)?.[1] ?? null;
}
