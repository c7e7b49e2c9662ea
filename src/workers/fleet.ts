import { allKinds, type PerKind, sumOfKinds } from '../base/drain-kinds.js';
import type { ServiceSettings } from '../config/settings.js';
import { both, NO_CONNECTIONS, plus } from '../runtime/counts.js';
import type { AnswerCounts, ConnectionCounts } from '../runtime/worker-messages.js';
import type { ServiceStatus } from '../status/status-document.js';
import type { Pause } from './conversation-events.js';
import { bothDrained, type Drained, NOTHING_DRAINED } from './drained.js';
import { inspectorPorts } from './inspector-ports.js';
import { ListenerCounts } from './listener-counts.js';
import type { Move, MoveOrigin } from './moves.js';
import type { Outside } from './outside.js';
import { allGiven, type HandedOn } from './program-state.js';
import { Service, type ServiceContext } from './service.js';
import type { DrainOptions } from './service-drain.js';

/** All services of an instance, as one. */
export class Fleet {
  readonly services: readonly Service[];

  constructor(services: readonly ServiceSettings[], context: ServiceContext, options: { accepting: boolean }) {
    const ports = inspectorPorts(services);
    this.services = services.map(
      (settings) => new Service(settings, { ...context, inspectorPorts: ports.get(settings.name) }, options),
    );
  }

  /** Rejects when a worker ends before {@link keepAlive}. */
  get failed(): Promise<never> {
    const failed = Promise.race(this.services.map((service) => service.failed));
    // The code that waits for it may not have come to that yet.
    failed.catch(() => {});
    return failed;
  }

  start(): void {
    for (const service of this.services) service.start();
  }

  async ready(): Promise<void> {
    await Promise.all(this.services.map((service) => service.ready()));
  }

  async booted(): Promise<void> {
    await Promise.all(this.services.map((service) => service.booted()));
  }

  keepAlive(): void {
    for (const service of this.services) service.keepAlive();
  }

  async pause(how?: Pause): Promise<void> {
    await Promise.all(this.services.map((service) => service.pause(how)));
  }

  async accept(): Promise<void> {
    await Promise.all(this.services.map((service) => service.accept()));
  }

  /** What the programs hand on, with the name of the service of each. @throws {HandoverError} */
  give(): Promise<HandedOn[]> {
    const of = async (service: Service): Promise<HandedOn[]> =>
      (await service.give()).map((one) => ({ ...one, service: service.name }));
    return allGiven(this.services.map(of));
  }

  /** Before {@link accept}. The values of services that are no more are let go. */
  inherit(values: readonly HandedOn[]): void {
    for (const service of this.services) service.inherit(values.filter((value) => value.service === service.name));
  }

  async connections(): Promise<ConnectionCounts> {
    const counts = await Promise.all(this.services.map((service) => service.connections()));
    return counts.reduce(plus, NO_CONNECTIONS);
  }

  /** As workers that drain have counted them last, with {@link connections} or {@link status}. */
  get lastKinds(): PerKind<number> {
    return this.services.map(({ ending }) => ending.lastKinds).reduce(sumOfKinds, allKinds(0));
  }

  /** HTTP answers of all workers that run, since they were asked for first. */
  async answered(): Promise<AnswerCounts> {
    return (await Promise.all(this.services.map((service) => service.answered()))).reduce(both);
  }

  /** What each worker that runs has counted on the listeners with these keys. */
  async countListeners(keys: readonly string[]): Promise<ListenerCounts> {
    const counts = await Promise.all(this.services.map((service) => service.countListeners(keys)));
    return new ListenerCounts(counts.flat());
  }

  /** See {@link Service.endingOutside}. */
  endingOutside(): Outside[] {
    return this.services.flatMap((service) => service.endingOutside());
  }

  /** Whether every worker that should by now answers within `ms`. */
  async isWell(ms: number): Promise<boolean> {
    return (await Promise.all(this.services.map((service) => service.isWell(ms)))).every((well) => well);
  }

  /** Every worker is ready. */
  get isWhole(): boolean {
    return this.services.every(({ isWhole }) => isWhole);
  }

  /** As {@link isWhole}, and what was started again listens where it did before. */
  get isBack(): boolean {
    return this.services.every(({ isBack }) => isBack);
  }

  thawed(): void {
    for (const service of this.services) service.thawed();
  }

  async drain(options: DrainOptions): Promise<Drained> {
    const drained = await Promise.all(this.services.map((service) => service.drain(options)));
    return drained.reduce(bothDrained, NOTHING_DRAINED);
  }

  /** Connections of the other generation. @returns how many more there is room for; 0: no more */
  async adopt({ service, index }: MoveOrigin, move: Move, fds: readonly number[]): Promise<number> {
    const own = this.services.find(({ name }) => name === service);
    return own?.adopt(index, move, fds) ?? 0;
  }

  /** Workers of all services. */
  get size(): number {
    return this.services.reduce((workers, { settings }) => workers + settings.workers, 0);
  }

  /** To the process of every worker that runs. @returns how many there are */
  signal(signal: NodeJS.Signals): number {
    return sum(this.services.map((service) => service.signal(signal)));
  }

  /** A drain, now or later, is cut in `ms`. */
  hurry(ms: number): void {
    for (const service of this.services) service.ending.hurry(ms);
  }

  /** False: for the inspectors of another generation, which have the same ports. */
  openInspectors(open: boolean): void {
    for (const service of this.services) service.openInspectors(open);
  }

  redirectOutput(fd: number): void {
    for (const service of this.services) service.redirectOutput(fd);
  }

  closeOutput(): void {
    for (const service of this.services) service.closeOutput();
  }

  async status(): Promise<ServiceStatus[]> {
    return Promise.all(this.services.map(async (service) => ({ name: service.name, workers: await service.status() })));
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
