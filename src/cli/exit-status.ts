/** Exit statuses of the `motya` command and what they mean; docs/reference/errors.md is written from this table. */
export const EXIT_STATUSES = {
  ok: [0, 'done; for `upgrade`: the successor serves (or, with `--dry-run`, could)'],
  failed: [
    1,
    'it could not be done: the instance did not start or take over, it died or was stopped in an upgrade, the file could not be written',
  ],
  usage: [2, 'the command line or the settings are wrong; nothing was done'],
  rejected: [3, '`upgrade`: rejected; the old instance serves on. `rollback`: there is nothing to go back to'],
  notRunning: [4, 'no instance runs; for `status --watch`: it has ended'],
  noAnswer: [5, 'the instance runs but does not answer (it is stopped, or busy); nothing was changed'],
  rolledBack: [6, '`upgrade`: the new version served, failed its probation, and the old one serves again'],
} as const satisfies Record<string, readonly [number, string]>;

export type ExitName = keyof typeof EXIT_STATUSES;

/** The numbers by their names. */
export const EXIT = Object.fromEntries(
  Object.entries(EXIT_STATUSES).map(([name, [status]]) => [name, status]),
) as Readonly<Record<ExitName, number>>;
