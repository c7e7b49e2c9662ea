import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { ROOT } from '../harness/index.js';
import { until } from '../harness/until.js';
import type { Ran } from './agent.js';
import type { Sandbox } from './harness.js';

export const UNIT = 'motya.service';
const SCRIPT = '/srv/shop/server.js';
const UNITS = '/run/systemd/system';
const DROP_IN = `${UNITS}/${UNIT}.d/test.conf`;
const RUNTIME = '/run/shop';
/** What is tested is a reload, not the patience of who waits ten seconds for it. */
const BRIEF = 'Environment=MOTYA_PROBATION=1';
/** ms between two looks at a unit: each is some processes. */
export const LOOK_MS = 100;

export interface Main {
  readonly pid: string;
  readonly active: string;
}

/** The service of the examples in a sandbox: its unit files, its program, and what systemd and Motya say about it. */
export class Shop {
  readonly sandbox: Sandbox;
  #since = '';
  #held = 0;

  constructor(sandbox: Sandbox) {
    this.sandbox = sandbox;
  }

  /**
   * Installs examples/systemd/<files> and the program. The first file becomes motya.service. `settings` are directives of
   * [Service] that come after its own, for what no example shows.
   */
  async install(files: readonly string[], settings: readonly string[] = []): Promise<void> {
    const [service = '', ...sockets] = files;
    for (const socket of sockets) this.sandbox.write(`${UNITS}/${socket}`, example(socket));
    await this.installUnit(example(service), settings);
  }

  /** As {@link install}, of a unit that is no example. */
  async installUnit(text: string, settings: readonly string[] = []): Promise<void> {
    this.#since = await this.sandbox.mark();
    this.sandbox.write(`${UNITS}/${UNIT}`, text);
    this.sandbox.write(DROP_IN, `[Service]\n${[BRIEF, ...settings].join('\n')}\n`);
    await this.sandbox.manage('daemon-reload');
    this.release('1');
  }

  /** Ends everything and forgets it. */
  async remove(): Promise<void> {
    this.sandbox.remove(dirname(DROP_IN));
    const units = this.sandbox.list(UNITS);
    await this.sandbox.systemctl('kill', '-s', 'KILL', UNIT);
    await this.sandbox.systemctl('stop', ...units);
    await this.sandbox.systemctl('reset-failed', ...units);
    for (const unit of units) this.sandbox.remove(`${UNITS}/${unit}`);
    this.sandbox.remove('/srv/shop');
    await this.sandbox.manage('daemon-reload');
  }

  /** Puts a version of the program into place; `before` is code that runs first, `ports` are more ports to listen on. */
  release(version: string, { before = '', ports = [] }: { before?: string; ports?: readonly number[] } = {}): void {
    this.sandbox.write(
      SCRIPT,
      `'use strict';
process.env.APP_VERSION = ${JSON.stringify(version)};
${before}
const { handler } = require('/opt/motya/test/fixtures/apps/shared/handler.cjs');
for (const port of [process.env.PORT, process.env.TLS_PORT, ...${JSON.stringify(ports)}]) {
  if (port !== undefined) require('node:http').createServer(handler).listen(port);
}
`,
    );
  }

  async main(): Promise<Main> {
    const { MainPID, ActiveState } = await this.sandbox.show(UNIT, 'MainPID', 'ActiveState');
    return { pid: MainPID, active: ActiveState };
  }

  /** The pid in the pidfile of the instance. */
  get pidfile(): string | null {
    const name = this.sandbox.list(RUNTIME).find((file) => file.endsWith('.pid'));
    return name === undefined ? null : (this.sandbox.read(`${RUNTIME}/${name}`)?.trim() ?? null);
  }

  /** Waits until systemd takes for the main process what took the pidfile over from `old`. */
  async moved(old: string, deadline: number): Promise<Main> {
    const isRight = (main: Main): boolean =>
      main.active === 'active' && main.pid !== old && main.pid !== '0' && main.pid === this.pidfile;
    let last: Main | undefined;
    const look = async (): Promise<Main | null> => {
      last = await this.main();
      return isRight(last) ? last : null;
    };
    const instead = (): unknown => ({ ...last, old, pidfile: this.pidfile });
    return await until(look, { what: 'systemd to have the new main process', deadline, instead, every: LOOK_MS });
  }

  /** Waits until the unit is as `wanted` says. */
  async is(wanted: Readonly<Record<string, string>>, deadline?: number): Promise<void> {
    let last: Record<string, string> = {};
    const look = async (): Promise<boolean> => {
      last = await this.sandbox.show(UNIT, ...Object.keys(wanted));
      return Object.entries(wanted).every(([name, value]) => last[name] === value);
    };
    const what = `the unit to be ${JSON.stringify(wanted)}`;
    await until(look, { what, every: LOOK_MS, instead: () => last, ...(deadline === undefined ? {} : { deadline }) });
  }

  /** Waits for a status line (`systemctl status`) of the unit. */
  async says(line: RegExp, deadline: number): Promise<void> {
    let last = '';
    const look = async (): Promise<boolean> => {
      last = (await this.sandbox.show(UNIT, 'StatusText')).StatusText;
      return line.test(last);
    };
    await until(look, { what: `${line} as the status line`, deadline, every: LOOK_MS, instead: () => last });
  }

  /** A request that the program has, and holds until `finish()`. */
  async hold(port: number): Promise<{ body: Promise<string>; finish: () => void }> {
    this.#held += 1;
    const [file, begun] = [`/srv/shop/finish-${this.#held}`, `/run/begun-${this.#held}`];
    const body = this.sandbox.get(port, `/hold?early&file=${encodeURIComponent(file)}`, begun);
    await until(() => this.sandbox.read(begun) !== null, { what: 'the beginning of a held answer' });
    return { body, finish: () => this.sandbox.write(file, '') };
  }

  /** Waits for something in the journal since {@link install}; returns the match. */
  said(pattern: RegExp): Promise<RegExpExecArray> {
    let journal = '';
    const look = async (): Promise<RegExpExecArray | null> => {
      journal = await this.sandbox.lines(this.#since);
      return pattern.exec(journal);
    };
    return until(look, { what: `${pattern} in the journal`, every: LOOK_MS, instead: () => journal.slice(-4000) });
  }

  /** `systemctl reload`, which need not succeed. */
  reload(): Promise<Ran> {
    return this.sandbox.systemctl('reload', UNIT);
  }

  async start(): Promise<Main> {
    await this.sandbox.manage('start', UNIT);
    return this.main();
  }

  /** The journal since {@link install}. */
  journal(): Promise<string> {
    return this.sandbox.journal(this.#since);
  }
}

function example(name: string): string {
  return readFileSync(`${ROOT}examples/systemd/${name}`, 'utf8');
}
