import { splitOptions } from '../base/os/node-options.js';
import type { ServiceSettings } from '../config/settings.js';
import { type InspectorOption, inspectorIn } from '../runtime/inspector-option.js';
import { nodeOptionsOf } from './environment.js';

/** Node takes 0, and those from the first to the last. */
const FIRST_PORT = 1024;
const LAST_PORT = 65_535;

/** The inspector of the Node processes of a service; null when its options ask for none. */
export function inspectorOf(settings: ServiceSettings): InspectorOption | null {
  return inspectorIn([...splitOptions(nodeOptionsOf(settings) ?? ''), ...settings.nodeArgs]);
}

/**
 * The inspector's port of each worker, by the name of its service: from the one that the options name, one after the other, as
 * node:cluster does it. The same in each generation with the same settings. Services without a fixed port have none.
 */
export function inspectorPorts(services: readonly ServiceSettings[]): ReadonlyMap<string, readonly number[]> {
  const taken = new Set<number>();
  const ports = new Map<string, readonly number[]>();
  for (const settings of services) {
    const port = inspectorOf(settings)?.port ?? 0;
    if (port === 0) continue;
    ports.set(
      settings.name,
      Array.from({ length: settings.workers }, () => nextFree(port, taken)),
    );
  }
  return ports;
}

function nextFree(first: number, taken: Set<number>): number {
  let port = first;
  while (taken.has(port)) port = port === LAST_PORT ? FIRST_PORT : port + 1;
  taken.add(port);
  return port;
}

/** With the inspector's port of one of its workers; undefined: as they are. */
export function withInspectorPort(settings: ServiceSettings, port: number | undefined): ServiceSettings {
  if (port === undefined || port === inspectorOf(settings)?.port) return settings;
  return { ...settings, nodeArgs: [...settings.nodeArgs, `--inspect-port=${port}`] };
}
