import type { Status } from '../control/client.js';
import type { Command } from './command.js';
import { type TargetArguments, targetFlags, targetPositionals } from './target-options.js';

interface StatusArguments extends TargetArguments {
  readonly json: boolean;
}

const command: Command<StatusArguments> = {
  name: 'status',
  summary: 'Show what runs, serves and drains',
  positionals: targetPositionals,
  flags: { ...targetFlags, json: { type: 'boolean', default: false, description: 'As one JSON object' } },
  examples: [
    ['motya status', 'the instance that runs, for people'],
    ['motya status --name shop --json', 'this one, for programs'],
  ],
  exits: ['ok', 'failed', 'usage', 'notRunning', 'noAnswer'],
  async run({ json, ...target }) {
    const { controlSocketFor } = await import('./target.js');
    const { requestStatus } = await import('../control/client.js');
    const status = await requestStatus(controlSocketFor(target));
    console.log(json ? JSON.stringify(status) : render(status));
  },
};
export default command;

/** Listeners that are named one by one; beyond it their number says more. */
const LISTENERS_SHOWN = 20;

function render(status: Status): string {
  const lines = [
    `${status.name}: generation ${status.generation}, pid ${status.pid}, ${status.phase}, up ${duration(status.uptime)} (motya ${status.version})`,
  ];
  for (const { name, workers } of status.services) {
    lines.push(`service ${name}`);
    for (const { index, pid, state, connections, restarts } of workers) {
      const again = restarts === 0 ? '' : `, started again ${restarts}×`;
      lines.push(`  worker ${index}  pid ${pid ?? '-'}  ${state}, ${open(connections)}${again}`);
    }
  }
  lines.push(`listeners: ${status.listeners.length}`);
  for (const { key, service, backlog, waiting } of status.listeners.slice(0, LISTENERS_SHOWN)) {
    const queue = waiting === null ? '' : `, ${waiting} of ${backlog} waiting`;
    lines.push(`  ${key}  ${service ?? 'unused'}${queue}`);
  }
  if (status.listeners.length > LISTENERS_SHOWN)
    lines.push(`  … and ${status.listeners.length - LISTENERS_SHOWN} more`);
  for (const { pid, generation, connections, left } of status.draining) {
    lines.push(`draining: generation ${generation}, pid ${pid}, ${open(connections)}, ${duration(left)} left`);
  }
  if (status.lastUpgrade !== null) {
    const { ok, at, text } = status.lastUpgrade;
    lines.push(`last upgrade: ${ok ? 'succeeded' : 'failed'} at ${at}: ${text}`);
  }
  return lines.join('\n');
}

const open = (connections: number): string => `${connections} connection${connections === 1 ? '' : 's'}`;

function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
