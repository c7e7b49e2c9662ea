/** Exit statuses of the `motya` command; documented in docs/cli.md. */
export const EXIT = {
  ok: 0,
  /** The instance could not start, or ended in failure. */
  failed: 1,
  /** The command line or the settings are wrong. */
  usage: 2,
  /** The upgrade did not happen; the old instance serves on. */
  rejected: 3,
  /** No instance runs that the command could speak to. */
  notRunning: 4,
  /** The instance runs but does not answer: it is stopped, or busy. Nothing was changed. */
  noAnswer: 5,
} as const;
