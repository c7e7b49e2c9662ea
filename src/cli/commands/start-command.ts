import type { FailureCode } from '../../base/error-catalog.js';
import { PASSABLE } from '../../base/os/signal-names.js';
import { yargsOptions } from '../../config/options.js';
import type { Settings } from '../../config/settings.js';
import type { InstanceLog } from '../../logging/log.js';
import type { Supervisor } from '../../supervisor/supervisor.js';
import type { Command } from '../command.js';
import { EXIT } from '../exit-status.js';
import { printFailure } from '../failure-line.js';

interface StartArguments {
  readonly script?: string | undefined;
  readonly [flag: string]: unknown;
}

const command: Command<StartArguments> = {
  name: 'start',
  summary: 'Run a program that can be upgraded while it serves',
  details: [
    'Without a script it runs the services of motya.yaml; without that, a small page on 127.0.0.1:8080.',
    'The instance runs in the foreground until it is stopped or has handed over.',
    'With --daemonize the command returns once the daemon serves. Ctrl-C, SIGTERM or SIGHUP before that ends the daemon and what it has started (exit status 130, 143, 129).',
  ],
  positionals: { script: { description: 'Node program to run; its own arguments follow --', isPath: true } },
  flags: yargsOptions(),
  takesProgramArguments: true,
  examples: [
    ['motya start server.js --workers 2 -- --verbose', 'run server.js --verbose in two workers'],
    ['motya start --config /etc/shop/motya.yaml', 'run the services of a settings file'],
    ['motya start server.js --daemonize --log-file shop.log', 'in the background; returns once it serves'],
    ['motya start server.js --keeper', 'with a keeper as the parent of all its instances, as in a container'],
    ['motya start server.js --upgrade', 'boot, and wait until SIGQUIT tells the running instance to hand over'],
    ['motya start server.js --adopt 1234', 'take over the listeners of another program, such as nginx'],
  ],
  exits: ['ok', 'failed', 'usage'],
  async run(flags) {
    const { loadSettings } = await import('../../config/load.js');
    const { typedInvocation } = await import('../../base/os/invocation.js');
    const { isLaunched, report, takeReportPipe } = await import('../../base/os/launch.js');
    const { checkPrivileges } = await import('../../config/privilege-check.js');
    const { codeOf, detailFields, reasonOf } = await import('../../base/errors.js');
    const launched = isLaunched();
    takeReportPipe();
    try {
      const settings = loadSettings({ flags: { ...flags }, env: process.env, cwd: typedInvocation().cwd });
      // Before a log file or a daemon is made.
      checkPrivileges(settings);
      process.exitCode = await begin(settings, { launched, keeper: flags.keeper === true || flags.supervise === true });
    } catch (error) {
      // The launcher of this instance does not see what it prints.
      report({ ok: false, code: codeOf(error), text: reasonOf(error).replaceAll('\n', '; '), ...detailFields(error) });
      throw error;
    }
    // What still holds the loop (a pipe, a timer) belongs to an instance that has ended.
    process.exit();
  },
};
export default command;

/** The launcher of a daemon, a keeper or an instance: what this process is to be. */
async function begin(settings: Settings, { launched, keeper }: { launched: boolean; keeper: boolean }) {
  const { refuseKeeperOfSuccessor, wantsKeeper } = await import('../../keeper/keeper-choice.js');
  const { StartError } = await import('../../base/errors.js');
  if (keeper) refuseKeeperOfSuccessor(settings, process.env);
  if (settings.daemonize && process.pid === 1) {
    const text = 'the container would end with its first process; leave --daemonize out';
    throw new StartError('ERR_MOTYA_PID_1_DAEMONIZE', `pid 1 cannot go into the background: ${text}`);
  }
  if (settings.daemonize && !launched) {
    const { daemonize } = await import('../daemonize.js');
    return daemonize(settings);
  }
  return wantsKeeper(settings, process.env) ? keep(settings, launched) : run(settings, launched);
}

/** The keeper of instances, until the last one has ended. */
async function keep(settings: Settings, launched: boolean): Promise<number> {
  const { Keeper } = await import('../../keeper/keeper.js');
  const { handleKeeperSignals } = await import('../../keeper/keeper-signals.js');
  const { native } = await import('../../base/os/native.js');
  const { createLogger } = await import('../../logging/log.js');
  const { onLauncherGone } = await import('../../base/os/launch.js');
  const { onDefect } = await import('../../base/background.js');
  const { logDefect } = await import('../../logging/log-defect.js');
  const { outliveDefects } = await import('../outlive-defects.js');
  const { loadTransports } = await import('../../logging/transports.js');
  const { isToDrop } = await import('../../base/os/privileges.js');
  // It stays root, and root runs no module of a user.
  const transports = isToDrop(settings.user) ? [] : await loadTransports(settings.log);
  const log = createLogger(settings.log, { user: settings.user, transports });
  onDefect((defect) => {
    logDefect(log, defect);
    return true;
  });
  outliveDefects({ isStarting: () => false, failed: () => {} });
  const keeper = new Keeper(settings, log);
  handleKeeperSignals(keeper, {
    passed: settings.passedSignals,
    ignored: (signal) => logIgnored(log, signal),
    reopenLogs: () => {
      log.reopen();
      // What is started later writes there too.
      if (settings.daemonize && settings.log.file !== null) for (const fd of [1, 2]) native.fd.redirect(log.fd, fd);
    },
  });
  onLauncherGone(() => keeper.giveUp());
  keeper.start();
  const status = await keeper.ended;
  if (!launched && keeper.failure !== null) sayBeside(settings, keeper.failure.text, keeper.failure.code);
  return written(log, status);
}

/** The instance itself, until it has ended. */
async function run(settings: Settings, launched: boolean): Promise<number> {
  const { createLogger } = await import('../../logging/log.js');
  const { logEvents } = await import('../../supervisor/log-events.js');
  const { Supervisor } = await import('../../supervisor/supervisor.js');
  const { handleSignals } = await import('../../supervisor/signal-handlers.js');
  const { onLauncherGone } = await import('../../base/os/launch.js');
  const { outliveDefects } = await import('../outlive-defects.js');
  const { codeOf, reasonOf } = await import('../../base/errors.js');
  const { loadTransports } = await import('../../logging/transports.js');
  const { isToDrop } = await import('../../base/os/privileges.js');

  if (settings.umask !== null) process.umask(settings.umask);
  const isRoot = isToDrop(settings.user);
  const transports = isRoot ? [] : await loadTransports(settings.log);
  const log = createLogger(settings.log, { user: settings.user, transports });
  for (const warning of settings.warnings) log.warn(warning, { event: 'settings' });
  const supervisor = new Supervisor(settings);
  logEvents(supervisor, log);
  let failure: unknown = null;
  if (isRoot && settings.log.transports.length > 0) {
    const { inBackground } = await import('../../base/background.js');
    const load = async (): Promise<void> => {
      try {
        for (const transport of await loadTransports(settings.log)) log.add(transport);
      } catch (error) {
        failure = error;
        if (isStarted) log.error(reasonOf(error), { event: 'log-transport', code: codeOf(error) });
        supervisor.giveUp();
      }
    };
    // Their modules are the user's: root runs none of them.
    supervisor.once('user', () => inBackground('loading the log transports', load()));
  }
  let isStarted = false;
  supervisor.once('serving', () => {
    isStarted = true;
  });
  const end = (): void => {
    const exit = (): void => process.exit(EXIT.failed);
    written(log, EXIT.failed).then(exit, exit);
  };
  outliveDefects({ isStarting: () => !isStarted, failed: end });
  // Its workers finish without it.
  supervisor.on('defect', (defect) => {
    if (supervisor.cannotEnd(defect)) end();
  });
  const reopenLogs = (): void => {
    log.reopen();
    // A daemon's own stdout and stderr are the same file, and those of its programs, unless they are tagged.
    if (settings.daemonize && settings.log.file !== null) supervisor.redirectOutput(log.fd);
  };
  handleSignals(supervisor, { reopenLogs, ignored: (signal) => logIgnored(log, signal) });
  onLauncherGone(() => supervisor.giveUp());
  if (settings.sandbox !== null) {
    const { inBackground } = await import('../../base/background.js');
    const { processEnd } = await import('../../base/os/processes.js');
    const ownerEnds = processEnd(settings.sandbox.owner).then(() => supervisor.stop({ now: true }));
    inBackground('watching the owner of the sandbox', ownerEnds);
  }
  supervisor.on('serving', () => {
    // Rotated while this was no main process yet: the SIGHUP went to another one.
    if (log.outputs.hasMoved) reopenLogs();
  });
  return written(log, await live(supervisor, log, { launched, failure: () => failure }));
}

function logIgnored(log: InstanceLog, signal: NodeJS.Signals): void {
  const short = signal.replace('SIG', '');
  const isPassable = (PASSABLE as readonly string[]).includes(short);
  const remedy = isPassable ? `; the setting signals: { ${short}: pass } gives it to the programs` : '';
  const text = `${signal} is ignored: it means nothing here${remedy}`;
  log.warn(text, { event: 'ignored-signal', signal });
}

/** The exit status, once all lines are written. A reader that does not read must not keep a process that has done its work. */
async function written(log: InstanceLog, status: number): Promise<number> {
  const { native } = await import('../../base/os/native.js');
  if (!(await log.flush())) native.process.exitNow(status);
  return status;
}

/** `failure`: why the start was given up; null: it was not. */
async function live(
  supervisor: Supervisor,
  log: InstanceLog,
  { launched, failure }: { launched: boolean; failure: () => unknown },
): Promise<number> {
  const { codeOf, detailFields, MotyaError, reasonOf, stderrOf } = await import('../../base/errors.js');
  const { PeerAbort } = await import('../../handover/dialogue.js');
  try {
    await supervisor.start();
  } catch (thrown) {
    const error = failure() ?? thrown;
    const code = codeOf(error);
    // An incumbent that was told to stop sends the same code. That is a failure of this successor, which was not told to stop.
    if (code === 'ERR_MOTYA_DRY_RUN' || (code === 'ERR_MOTYA_STOPPING' && !(error instanceof PeerAbort))) {
      log.info(reasonOf(error), { event: 'given-up', code, ...detailFields(error) });
      return EXIT.ok;
    }
    const stderr = stderrOf(error);
    log.error(reasonOf(error), {
      event: 'failed',
      code,
      ...detailFields(error),
      ...(stderr.length === 0 ? {} : { stderr }),
      ...(error instanceof MotyaError ? {} : { error }),
    });
    if (!launched) sayBeside(supervisor.settings, reasonOf(error), code);
    return EXIT.failed;
  }
  await supervisor.ended;
  return EXIT.ok;
}

/** Prints the reason of a failed start to stderr, beside the log file. A launched instance has reported to its launcher. */
function sayBeside({ log }: Settings, reason: string, code: FailureCode): void {
  if (log.file !== null) printFailure(`${reason.replaceAll('\n', '; ')}; ${log.file} tells more`, code);
}
