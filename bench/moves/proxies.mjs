import { accessSync, constants } from 'node:fs';
import { childrenOf, freePort, isAlive, until } from '../../dist-test/e2e/harness/index.js';
import { startNginx } from '../../dist-test/e2e/nginx.js';
import { answers } from '../upgrade/lib/get.mjs';
import { startAlone } from '../upgrade/lib/space.mjs';

/** ms for the workers of before: they have no long requests. */
const DEADLINE_MS = 30_000;

/** A proxy in front of one plain node, reloaded by a signal: its configuration and its workers are new then. */
class ReloadedProxy {
  constructor(space, { script, env, workers }) {
    this.space = space;
    this.workers = workers;
    this.port = env.PORT;
    this.env = env;
    this.script = script;
  }

  async started() {
    this.upstream = await freePort();
    const env = { ...this.env, PORT: String(this.upstream) };
    const node = startAlone(this.space, [process.execPath, this.script], { env });
    await node.waitForStdout(/listening/);
    this.process = this.start();
    await until(() => answers(this.port), { what: `an answer through ${this.constructor.name}` });
    return this;
  }

  async upgrade() {
    const began = performance.now();
    const before = childrenOf(this.process.pid);
    this.process.kill(this.reloadSignal);
    const isReplaced = () => before.every((pid) => !isAlive(pid)) && childrenOf(this.process.pid).length > 0;
    await until(isReplaced, { what: 'the end of the old workers', deadline: DEADLINE_MS });
    return { goneMs: performance.now() - began };
  }

  async stop() {
    this.process.kill('SIGTERM');
    await this.process.waitForExit();
  }
}

export class NginxSubject extends ReloadedProxy {
  static command = '/usr/sbin/nginx';
  reloadSignal = 'SIGHUP';

  start() {
    const requests = 'keepalive_requests 1000000000; keepalive_timeout 1h;';
    return startNginx(
      this.space,
      `upstream program { server 127.0.0.1:${this.upstream}; keepalive 256; ${requests} }
  server { listen 127.0.0.1:${this.port} backlog=4096; ${requests}
    location / { proxy_pass http://program; proxy_http_version 1.1; proxy_set_header Connection ""; } }`,
      { workers: this.workers, connections: 8192 },
    );
  }
}

export class HaproxySubject extends ReloadedProxy {
  static command = '/usr/sbin/haproxy';
  reloadSignal = 'SIGUSR2';

  start() {
    const config = this.space.write(
      'haproxy.cfg',
      `global
  maxconn 8192
  nbthread ${this.workers}
  hard-stop-after 10s
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout http-keep-alive 1h
frontend web
  bind 127.0.0.1:${this.port} backlog 4096
  default_backend program
backend program
  server node 127.0.0.1:${this.upstream}
`,
    );
    return this.space.start(HaproxySubject.command, ['-W', '-db', '-f', config]);
  }
}

/** Why a subject is left out; null: it is here. */
export function lacks({ command }) {
  if (command === undefined) return null;
  try {
    accessSync(command, constants.X_OK);
    return null;
  } catch {
    return `${command} is not installed`;
  }
}
