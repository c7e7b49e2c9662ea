import { lookup } from 'node:dns/promises';
import { inBackground } from '../base/background.js';
import { isSystemError } from '../base/errors.js';
import { native } from '../base/os/native.js';
import { splitOptions } from '../base/os/node-options.js';
import { inspectorIn } from './inspector-option.js';

/** ms between two looks whether the inspector's port is free, of a worker that waits for it: a bind(2) that fails. */
const INSPECTOR_LOOK_MS = 250;

type Module = typeof import('node:inspector');

/**
 * The inspector of a process that was started with `--inspect` and a port. Two generations have the same port: the older one lets go of
 * it when an upgrade begins, and this one has it from its start, or as soon as it is free.
 */
export class Inspector {
  readonly #module: Module;
  readonly #host: string;
  readonly #port: number;
  #timer: NodeJS.Timeout | undefined;
  /** It is this generation's. */
  #isWanted = true;
  /** The port is this process's, and not that of the one which has started it with the same options. */
  #isOurs: boolean;

  /** Null: there is none with a fixed port. `insists`: one that could not be opened is tried again. */
  static ofThisProcess({ insists }: { insists: boolean }): Inspector | null {
    const option = inspectorIn([...splitOptions(process.env.NODE_OPTIONS ?? ''), ...process.execArgv]);
    const module = process.getBuiltinModule('node:inspector');
    return option === null || option.port === 0 || module === undefined ? null : new Inspector(module, option, insists);
  }

  private constructor(module: Module, { host, port }: { host: string; port: number }, insists: boolean) {
    this.#module = module;
    this.#host = host;
    this.#port = port;
    this.#isOurs = insists || this.#isOpen;
    this.open();
  }

  /** Opens it again and again until it is open. Node has told why it was not. */
  open(): void {
    this.#isWanted = true;
    clearTimeout(this.#timer);
    if (!this.#isOurs || this.#isOpen) return;
    this.#timer = setTimeout(() => inBackground('opening the inspector', this.#tryToOpen()), INSPECTOR_LOOK_MS).unref();
  }

  /** Debuggers that are attached are hung up on. */
  close(): void {
    this.#isWanted = false;
    clearTimeout(this.#timer);
    if (this.#isOpen) this.#module.close();
  }

  get #isOpen(): boolean {
    return this.#module.url() !== undefined;
  }

  async #tryToOpen(): Promise<void> {
    // node writes a line for each try that fails.
    const isFree = await isFreeAddress(this.#host, this.#port);
    if (!this.#isWanted) return;
    if (isFree && !this.#isOpen) this.#module.open(this.#port, this.#host);
    this.open();
  }
}

/** Never rejects. */
async function isFreeAddress(host: string, port: number): Promise<boolean> {
  try {
    const { address, family } = await lookup(host);
    native.fd.close(
      native.listener.create({
        type: 'stream',
        family: family === 6 ? 'inet6' : 'inet',
        address,
        port,
        bindOnly: true,
      }),
    );
    return true;
  } catch (error) {
    if (!isSystemError(error) && (error as NodeJS.ErrnoException).syscall !== 'getaddrinfo') throw error;
    return false;
  }
}
