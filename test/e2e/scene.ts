import assert from 'node:assert/strict';
import { type RequestOptions, request } from 'node:http';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import type { Details } from '#src/base/errors.js';
import type { Status } from '#src/status/status-document.js';
import {
  app,
  type Child,
  freePort,
  type LogLine,
  parseLogs,
  type Result,
  readPidfile,
  type StatusView,
  until,
  type Workspace,
  workspace,
} from './harness/index.js';

/** Who answers, as every HTTP fixture says it; the numbers of the environment are texts. */
export interface Who {
  readonly pid: number;
  readonly generation: string | null;
  readonly version: string | null;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** A request on a connection of its own; a GET unless said otherwise. Rejects as the connection does, for example with ECONNREFUSED. */
export function ask(options: RequestOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ ...options, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

export function get(port: number, path = '/', host = '127.0.0.1'): Promise<Answer> {
  return ask({ port, host, path });
}

export async function who(port: number): Promise<Who> {
  return JSON.parse((await get(port)).body) as Who;
}

/** Whether a connection is refused: true or false, at once. */
export function isRefused(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host);
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A connection that was in the queue when its listener was closed is reset.
      if (error.code === 'ECONNREFUSED' || error.code === 'ECONNRESET') resolve(true);
      else reject(error);
    });
  });
}

/** A program that says which version it is. It listens on PORT, as the fixtures do. */
export function program(version: string, before = ''): string {
  return `'use strict';
process.env.APP_VERSION = ${JSON.stringify(version)};
${before}
const { address, announce, handler } = require(${JSON.stringify(app('shared/handler.cjs'))});
const server = require('node:http').createServer(handler);
server.listen(...address(), () => announce(server));
`;
}

export type FullStatus = Status & StatusView;

type Env = Readonly<Record<string, string | undefined>>;

/** A workspace with one HTTP program on a port of its own, whose instances all have the name `app`. */
export class Scene {
  readonly space: Workspace;
  readonly port: number;
  /** Path of the program. */
  script: string;
  readonly pidfile: string;
  readonly upgradeSocket: string;

  constructor(space: Workspace, port: number, script: string) {
    this.space = space;
    this.port = port;
    this.script = script;
    this.pidfile = `${space.runtimeDir}/motya/app.pid`;
    this.upgradeSocket = `${space.runtimeDir}/motya/app.sock`;
  }

  /** `motya start`, not waited for. */
  start(args: readonly string[] = [], env: Env = {}): Child {
    return this.space.motya(['start', this.script, '--name', 'app', ...args], {
      env: { PORT: String(this.port), ...env },
    });
  }

  /** The first instance, once it serves. */
  async first(args: readonly string[] = [], env: Env = {}): Promise<Child> {
    const child = this.start(args, env);
    await child.waitFor('serving');
    return child;
  }

  /** A successor started by hand, once it is booted and waits. */
  async waiting(args: readonly string[] = [], env: Env = {}): Promise<Child> {
    const child = this.start(['--upgrade', ...args], env);
    await child.waitFor('waiting');
    return child;
  }

  upgrade(...args: string[]): Promise<Result> {
    return this.space.run(['upgrade', '--name', 'app', ...args]);
  }

  status(): Promise<Status> {
    return this.space.ask('app');
  }

  who(): Promise<Who> {
    return who(this.port);
  }

  /** The pid in the pidfile. */
  get mainPid(): number | undefined {
    return readPidfile(this.pidfile);
  }

  /** A request that the program holds until `finish()`; resolves once the program has it. */
  async hold(): Promise<{ answer: Promise<Answer>; finish: () => void }> {
    const file = this.space.path(`finish-${Math.random()}`);
    let resolve!: () => void;
    const begun = new Promise<void>((done) => {
      resolve = done;
    });
    const answer = new Promise<Answer>((done, fail) => {
      const path = `/hold?early&file=${encodeURIComponent(file)}`;
      const sent = request({ port: this.port, host: '127.0.0.1', path, agent: false }, (response) => {
        let body = '';
        resolve();
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          body += chunk;
        });
        response.on('error', fail);
        response.on('end', () => done({ status: response.statusCode ?? 0, headers: response.headers, body }));
      });
      sent.on('error', fail);
      sent.end();
    });
    // Whoever waits for the answer hears of its failure.
    answer.catch(() => {});
    await begun;
    return { answer, finish: () => void this.space.write(file.slice(this.space.dir.length + 1), '') };
  }
}

/** A scene with a fixture program, or with `source` as its program. */
export async function scene(test: TestContext, fixture = 'http.cjs', source?: string): Promise<Scene> {
  const space = workspace(test);
  const script = source === undefined ? app(fixture) : space.write('server.cjs', source);
  return new Scene(space, await freePort(), script);
}

/** The line that says why an instance did not start or take over. */
export function failureOf(child: Child): LogLine {
  const line = child.logs.find(({ event }) => event === 'failed');
  if (line === undefined) throw new Error(`no failure in the log: ${child.describe()}`);
  return line;
}

/** How a command with `--json` ended: the object of its last line. */
export interface Outcome {
  readonly ok: boolean;
  readonly code: string;
  readonly text: string;
  readonly pid?: number;
  readonly generation?: number;
  readonly details?: Details;
}

export function outcomeOf({ stdout }: { readonly stdout: string }): Outcome {
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Outcome;
}

/** The details of an upgrade (with `--json`) whose probation has failed; `cause`: the code of the reason. */
export function rolledBack(result: Result): Details {
  const { code, details = {} } = outcomeOf(result);
  assert.deepEqual([result.code, code], [6, 'ERR_MOTYA_ROLLED_BACK'], result.stdout + result.stderr);
  return details;
}

/** Waits until the instance of `generation` serves, whoever wrote its output into `child`'s. */
export function servesAs(child: Child, generation: number): Promise<LogLine> {
  const isIt = (line: LogLine) => line.event === 'serving' && line.generation === generation;
  return child.waitFor(isIt, { evenAfterExit: true, what: `generation ${generation} to serve` });
}

/** Waits for a log line in a file, which need not be there yet. */
export function inLogFile(read: () => string, matches: (line: LogLine) => boolean, what: string): Promise<LogLine> {
  const lines = () => {
    try {
      return parseLogs(read().split('\n'));
    } catch {
      return [];
    }
  };
  return until(() => lines().find(matches), { what, instead: lines });
}
