import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { PHASES, type Phase, traitsOf } from '#src/status/phases.js';
import { ROOT } from '../../e2e/harness/index.js';
import { scene } from '../../e2e/scene.js';
import { adminSocket, look, Scrape } from './support.js';

const read = (...path: string[]): string => readFileSync(join(ROOT, ...path), 'utf8');

test('the dashboard, the manual and the alerts name the metrics that there are', async (t) => {
  const stage = await scene(t);
  await stage.first();
  const { body } = await look(adminSocket(stage), '/metrics');
  const exposed = [...new Scrape(body).types.keys()].sort();
  const families = (text: string): string[] => {
    const names = text.match(/\bmotya_[a-z_]+\b/g) ?? [];
    return [...new Set(names.map((name) => (exposed.includes(name) ? name : name.replace(/_bucket$/, ''))))].sort();
  };

  const dashboard = JSON.parse(read('docs', 'reference', 'grafana-dashboard.json')) as {
    panels: { id: number; title: string; targets: { expr: string }[] }[];
  };
  const asked = dashboard.panels.flatMap(({ targets }) => targets.flatMap(({ expr }) => families(expr)));
  assert.deepEqual(
    asked.filter((name) => !exposed.includes(name)),
    [],
  );
  // Each is worth a look, but for these two that others are derived from.
  const unseen = exposed.filter((name) => !asked.includes(name));
  assert.deepEqual(unseen, ['motya_start_time_seconds', 'motya_worker_answers']);
  // The panel of what serves knows every phase in which an instance is ready.
  const [, told = ''] =
    /phase=~"([^"]+)"/.exec(
      dashboard.panels
        .flatMap(({ targets }) => targets)
        .map(({ expr }) => expr)
        .join(),
    ) ?? [];
  const ready = (Object.keys(PHASES) as Phase[]).filter((phase) => traitsOf(phase).isReady === true);
  assert.deepEqual(told.split('|').sort(), ready.sort());
  assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);

  assert.deepEqual(families(read('docs', 'reference', 'metrics.md')), exposed);
  // Labels that a query selects by or groups by must be there, or it finds nothing for ever.
  const labels = new Set([...body.matchAll(/[{,]([a-z]+)="/g)].map(([, label]) => label));
  const used = dashboard.panels
    .flatMap(({ targets }) => targets.flatMap(({ expr }) => [...expr.matchAll(/by \(([^)]*)\)/g)]))
    .flatMap(([, list = '']) => list.split(',').map((label) => label.trim()));
  const known = new Set([...labels, 'instance', 'job', 'outcome', 'reason', 'quantile', 'le']);
  assert.deepEqual(
    used.filter((label) => !known.has(label)),
    [],
  );
});
