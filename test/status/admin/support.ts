import type { OutgoingHttpHeaders } from 'node:http';
import type { Status } from '#src/status/status-document.js';
import { type Answer, ask, type Scene } from '../../e2e/scene.js';

/** A path of a unix socket, or a port of 127.0.0.1. */
export type Where = string | number;

export const adminSocket = (stage: Scene): string => stage.upgradeSocket.replace(/\.sock$/, '.admin.sock');

/** One request to an admin listener; see {@link ask}. */
export function look(
  where: Where,
  path: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: OutgoingHttpHeaders } = {},
): Promise<Answer> {
  const to = typeof where === 'number' ? { host: '127.0.0.1', port: where } : { socketPath: where };
  return ask({ ...to, path, method, headers });
}

export async function statusOf(where: Where): Promise<Status> {
  return JSON.parse((await look(where, '/status.json')).body) as Status;
}

/** Values of a scrape, by name with labels as it is written: `motya_workers{service="web",state="ready"}`. */
export class Scrape {
  readonly values = new Map<string, number>();
  /** Types by name. */
  readonly types = new Map<string, string>();

  constructor(body: string) {
    for (const line of body.split('\n')) {
      const type = /^# TYPE (\S+) (\S+)$/.exec(line);
      if (type !== null) this.types.set(type[1] as string, type[2] as string);
      const sample = /^([a-z_]+(?:\{.*\})?) (\S+)$/.exec(line);
      if (sample !== null) this.values.set(sample[1] as string, Number(sample[2]));
    }
  }

  get(series: string): number | undefined {
    return this.values.get(series);
  }

  /** All that may only grow: counters, and the parts of histograms. */
  growing(): Map<string, number> {
    const isGrowing = (series: string): boolean => {
      const name = series.replace(/\{.*$/, '');
      const family = name.replace(/_(bucket|sum|count)$/, '');
      return this.types.get(name) === 'counter' || this.types.get(family) === 'histogram';
    };
    return new Map([...this.values].filter(([series]) => isGrowing(series)));
  }
}

export async function scrape(where: Where): Promise<Scrape> {
  const { status, body } = await look(where, '/metrics');
  if (status !== 200) throw new Error(`/metrics answered ${status}: ${body}`);
  return new Scrape(body);
}
