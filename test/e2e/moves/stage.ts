import assert from 'node:assert/strict';
import { rmSync, symlinkSync } from 'node:fs';
import type { TestContext } from 'node:test';
import {
  app,
  type Child,
  CLI,
  freePort,
  isAlive,
  type LogLine,
  until,
  type Workspace,
  workspace,
} from '../harness/index.js';
import { get, Scene } from '../scene.js';
import * as chain from '../traffic.js';
import { type Answer, ClientConnection, type Fleet, type Report, Tally } from './clients/index.js';

/** Long enough for requests to be in flight at its end, short enough for a test. */
const PROBATION = '300ms';

/** What a program says of its connections. */
export interface Facts extends Answer {
  /** What `server.getConnections()` counts, without the connection that asks. */
  readonly connections: number;
  /** Each 'connection' event: port of the client, and what AsyncLocalStorage held. */
  readonly emitted: readonly { readonly port: number; readonly store: string | null }[];
}

/** A service with one program of test/fixtures/apps/moves, its first generation, and single clients. */
export class MoveStage {
  readonly scene: Scene;
  readonly first: Child;
  /** Of all clients that {@link client} began. */
  readonly tally = new Tally();
  readonly #hasProbation: boolean;
  #generation = 1;
  #clients: ClientConnection[] = [];

  constructor(stage: Scene, first: Child, hasProbation: boolean) {
    this.scene = stage;
    this.first = first;
    this.#hasProbation = hasProbation;
  }

  get port(): number {
    return this.scene.port;
  }

  get generation(): number {
    return this.#generation;
  }

  async client(): Promise<ClientConnection> {
    const to = { port: this.port, host: '127.0.0.1' };
    const client = await ClientConnection.connect(to, `client-${this.#clients.length}`, this.tally);
    this.#clients.push(client);
    return client;
  }

  async clients(count: number): Promise<ClientConnection[]> {
    return Promise.all(Array.from({ length: count }, () => this.client()));
  }

  leave(): void {
    for (const client of this.#clients) client.leave();
  }

  /** Replaces the service by its next generation and waits for the end of the probation. */
  async deploy({ allowRemoved = false } = {}): Promise<number> {
    const { generation } = await chain.upgrade(this.scene.space, { allowRemoved });
    this.#generation = generation;
    await this.#line('handover', generation - 1);
    await this.#line(this.#hasProbation ? 'settled' : 'serving', generation);
    return generation;
  }

  /** As {@link deploy}, on the Node at that path. */
  async deployOn(node: string): Promise<number> {
    rmSync(this.scene.space.path('node'));
    symlinkSync(node, this.scene.space.path('node'));
    return this.deploy();
  }

  /** When the probation of a generation was over, in ms since the epoch. */
  async settledAt(generation: number): Promise<number> {
    return Date.parse((await this.#line('settled', generation)).time);
  }

  /** What the program of the newest generation knows, asked on a new connection. */
  async facts(path = '/facts'): Promise<Facts> {
    const facts = JSON.parse((await get(this.port, path)).body) as Facts;
    return { ...facts, connections: facts.connections - 1 };
  }

  /** Fails if a client has noticed a deploy. */
  assertUnnoticed(report: Report = this.tally.report()): void {
    const drains = chain.linesOf(this.first, 'drained').map(({ message, stayed }) => ({ message, stayed }));
    assertUnnoticed(report, JSON.stringify(drains));
  }

  /** Waits until the processes of all former generations have gone, forced to nothing. */
  async formerOnesEnd(): Promise<void> {
    await chain.predecessorsEnd(this.first, this.#generation);
  }

  /** The line that says how the connections of a generation have ended. */
  drained(generation: number): Promise<LogLine> {
    return this.#line('drained', generation);
  }

  #line(event: string, generation: number): Promise<LogLine> {
    const isIt = (line: LogLine) => line.event === event && line.generation === generation;
    return this.first.waitFor(isIt, { evenAfterExit: true, what: `${event} of generation ${generation}` });
  }
}

export interface StageOptions {
  /** Below test/fixtures/apps/moves. */
  readonly program?: string;
  /** Path of another program. */
  readonly script?: string;
  /** A program of the test's own, in place of one of the fixtures. */
  readonly source?: string;
  /** Settings, of an instance with the name `app`, in place of one program. */
  readonly config?: string;
  /** What starts it, before `node`. */
  readonly launcher?: readonly string[];
  /** Where its clients connect to; default: a free one, which the program gets as PORT. */
  readonly port?: number;
  readonly args?: readonly string[];
  /** Default: {@link PROBATION}. */
  readonly probation?: string;
  /** Path of the `node` to use; {@link MoveStage.deployOn} can take another one then. */
  readonly node?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** In a workspace that the caller closes, after `leave()`. */
export async function stageIn(space: Workspace, options: StageOptions = {}): Promise<MoveStage> {
  const {
    program = 'http.cjs',
    source,
    script = source === undefined ? app(`moves/${program}`) : space.write('server.cjs', source),
    config,
    probation = PROBATION,
    args = [],
    env = {},
    node,
    launcher = [],
    port = await freePort(),
  } = options;
  const stage = new Scene(space, port, script);
  const own = ['--probation', probation, ...chain.NEVER_FORCED, ...args];
  const what = config === undefined ? [script, '--name', 'app'] : ['--config', space.write('motya.yaml', config)];
  // A link, for a deploy to another Node.
  if (node !== undefined) symlinkSync(node, space.path('node'));
  const [command = '', ...rest] = [...launcher, node === undefined ? process.execPath : space.path('node'), CLI];
  const first = space.start(command, [...rest, 'start', ...what, ...own], { env: { PORT: String(port), ...env } });
  await first.waitFor('serving');
  return new MoveStage(stage, first, probation !== '0');
}

export async function moveStage(test: TestContext, options: StageOptions = {}): Promise<MoveStage> {
  const stage = await stageIn(workspace(test), options);
  test.after(() => stage.leave());
  return stage;
}

/** The start of a program in a file of its own: what the fixtures share. */
export const SHARED = `'use strict';
const shared = require(${JSON.stringify(app('moves/answer.cjs'))});
const { address, answer, listener, prepare, withStore } = shared;
`;

/** Waits until each client of a fleet is answered by `generation`. */
export async function allAt(fleet: Fleet, generation: number): Promise<void> {
  const arrived = () => fleet.areAllAt(generation) || fleet.report().closes > 0;
  await until(arrived, {
    what: `answers of generation ${generation} to all`,
    instead: () => JSON.stringify([...fleet.generations()]),
  });
}

/** Each request was answered, once, by its own answer, on the connection that the client began with. */
export function assertUnnoticed(
  { requests, answers, longest: _, late: __, details, ...counts }: Report,
  instead = '',
): void {
  const none = Object.fromEntries(Object.keys(counts).map((kind) => [kind, 0]));
  assert.deepEqual(counts, none, `${JSON.stringify(details, undefined, 1)} ${instead}`);
  assert.equal(answers, requests);
}

/** Waits for the end of processes that nothing asks to end. */
export function allEnd(pids: readonly number[]): Promise<boolean> {
  return until(() => pids.every((pid) => !isAlive(pid)), { what: `the end of ${pids.join(', ')}` });
}
