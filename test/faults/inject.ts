import './unbundled.js';
import { appendFileSync, existsSync, rmSync } from 'node:fs';
import { native } from '#src/base/os/native.js';
import { Dialogue } from '#src/handover/dialogue.js';
import { PhaseMachine } from '#src/status/phases.js';

/**
 * Loaded into the supervisors of a test (`node --import`), before their own code: lets something go wrong at one point of a
 * hand-over, once. A point is a step of the phase table (`phase ready`), a message that is sent (`send COMMIT`), or a call of the
 * addon (`native lock.acquire`).
 */
export interface Fault {
  readonly side: 'incumbent' | 'successor';
  /** Without one, the points that are passed are recorded. */
  readonly point?: string;
  readonly action?: Action;
  /** At which of its passages through the point, from 1. */
  readonly nth?: number;
  /** Nothing goes wrong until this file is there; it is removed by the fault, so that it happens once. */
  readonly armed: string;
  /** Gets a line for each point (recording), or the pid of the process in which the fault has happened. */
  readonly record: string;
}

export const ACTIONS = ['kill', 'stop', 'throw', 'error', 'delay'] as const;
export type Action = (typeof ACTIONS)[number];

type Call = (...args: unknown[]) => unknown;

/** Environment variable with a {@link Fault} in JSON. */
export const FAULT = 'TEST_FAULT';
/** ms: below the deadlines of the protocol, above every wait that is a mistake. */
const DELAY_MS = 1200;

const text = process.env[FAULT];
// A worker inherits the environment; what goes wrong there is its program's.
if (text !== undefined && process.argv[1]?.endsWith('/motya.cjs')) install(JSON.parse(text) as Fault);

function install(fault: Fault): void {
  const isSuccessor = process.env.MOTYA_UPGRADE === 'true' || process.argv.includes('--upgrade');
  if ((fault.side === 'successor') !== isSuccessor) return;
  let passed = 0;
  const pass = (point: string, isCall: boolean): void => {
    if (fault.point === undefined) {
      if (existsSync(fault.armed)) appendFileSync(fault.record, `${point}\n`);
      return;
    }
    if (point !== fault.point || !existsSync(fault.armed)) return;
    passed += 1;
    if (passed < (fault.nth ?? 1)) return;
    rmSync(fault.armed);
    appendFileSync(fault.record, `${process.pid}\n`);
    act(fault.action as Action, point, isCall);
  };

  const { step } = PhaseMachine.prototype;
  PhaseMachine.prototype.step = function (event) {
    pass(`phase ${event}`, false);
    step.call(this, event);
  };
  const { send } = Dialogue.prototype;
  Dialogue.prototype.send = function (message, fds) {
    pass(`send ${message.type}`, false);
    send.call(this, message, fds);
  };
  for (const [group, calls] of Object.entries(native) as [string, Record<string, Call>][]) {
    for (const [name, call] of Object.entries(calls)) {
      calls[name] = new Proxy(call, {
        apply: (target, self, args: unknown[]) => {
          pass(`native ${group}.${name}`, true);
          return Reflect.apply(target, self, args);
        },
      });
    }
  }
}

function act(action: Action, point: string, isCall: boolean): void {
  switch (action) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL');
      break;
    case 'stop':
      process.kill(process.pid, 'SIGSTOP');
      return;
    case 'throw':
      throw new Error(`injected at ${point}`);
    case 'error':
      if (isCall)
        throw Object.assign(new Error(`EIO: i/o error, ${point}`), { code: 'EIO', errno: -5, syscall: point });
      throw new Error(`injected at ${point}`);
    case 'delay':
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, DELAY_MS);
      return;
  }
  // The signal may take a moment.
  for (;;);
}
