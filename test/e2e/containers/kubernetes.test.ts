import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { freePort, ROOT } from '../harness/index.js';
import { get, scene } from '../scene.js';

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface PodSpec {
  readonly terminationGracePeriodSeconds: number;
  readonly containers: readonly {
    readonly command: readonly string[];
    readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
    readonly readinessProbe: Probe;
    readonly livenessProbe: Probe;
    readonly startupProbe: Probe;
    readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
  }[];
}

const objects = new Map(
  parseAllDocuments(readFileSync(`${ROOT}examples/kubernetes/deployment.yaml`, 'utf8')).map((document) => {
    assert.deepEqual(document.errors, []);
    const object = document.toJS() as { kind: string };
    return [object.kind, object];
  }),
);
const settings = (objects.get('ConfigMap') as unknown as { data: Record<string, string> }).data['motya.yaml'] ?? '';
const pod = (objects.get('Deployment') as unknown as { spec: { template: { spec: PodSpec } } }).spec.template.spec;
const [container] = pod.containers;

test('the pod has the time to drain: preStop, drainTimeout and killGrace fit into its grace period', () => {
  const drain = Number(/^drainTimeout: (\d+)s$/m.exec(settings)?.[1]);
  const pause = Number(container?.lifecycle.preStop.exec.command[1]);
  const killGrace = 5;
  assert.ok(pod.terminationGracePeriodSeconds > pause + drain + killGrace);
});

test('the settings serve what the probes ask, on the port that they ask', async (t) => {
  const { space, script } = await scene(t);
  const [web, admin] = [await freePort(), await freePort()];
  const portOf = (name: string) => container?.ports.find((port) => port.name === name)?.containerPort;
  assert.match(settings, new RegExp(`listen: tcp://0\\.0\\.0\\.0:${portOf('admin')}$`, 'm'));
  const local = settings.replaceAll('/app/server.mjs', script).replaceAll('cwd: /app', `cwd: ${space.dir}`);
  space.write('motya.yaml', local.replace(`0.0.0.0:${portOf('admin')}`, `0.0.0.0:${admin}`));
  const [, ...args] = container?.command ?? [];
  assert.deepEqual(args, ['start', '--config', '/etc/app/motya.yaml']);
  const keeper = space.motya(['start', '--keeper', '--config', space.path('motya.yaml')], {
    env: { PORT: String(web) },
  });
  await keeper.waitFor('serving');
  for (const probe of [container?.readinessProbe, container?.livenessProbe, container?.startupProbe]) {
    assert.equal(probe?.httpGet.port, 'admin');
    assert.equal((await get(admin, probe?.httpGet.path)).status, 200, probe?.httpGet.path);
  }
  keeper.kill();
  assert.equal((await keeper.waitForExit()).code, 0);
});
