import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { reasonOf } from '../../base/errors.js';
import { ownFile } from '../../base/os/needed-files.js';
import { type Phase, traitsOf } from '../phases.js';
import type { Status } from '../status-document.js';
import type { Totals } from '../totals.js';

/** ms for which an answer is given again: shorter than any scrape interval. A flood costs ten answers a second. */
const ADMIN_REUSE_MS = 100;

/** What is looked at. */
export interface StatusSource {
  readonly phase: Phase;
  status(): Promise<Status>;
  readonly totals: Totals;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  /** For the header of a 405. */
  readonly allow?: string;
}

const TEXT = 'text/plain; charset=utf-8';
const PAGE: Readonly<Record<string, readonly [file: string, type: string]>> = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/page.css': ['page.css', 'text/css; charset=utf-8'],
  '/icon.svg': ['icon.svg', 'image/svg+xml'],
  '/page.js': ['page.js', 'text/javascript; charset=utf-8'],
};

/** What is answered at which path. */
export class Routes {
  readonly #observed: StatusSource;
  readonly #isPrivate: boolean;
  readonly #status: () => Promise<Status>;
  readonly #metrics: () => Promise<Answer>;

  constructor(observed: StatusSource, { isPrivate }: { isPrivate: boolean }) {
    this.#observed = observed;
    this.#isPrivate = isPrivate;
    this.#status = shared(() => observed.status());
    this.#metrics = shared(async () => {
      // Loaded when it is wanted: half of the time that a supervisor needs to start.
      const { renderMetrics } = (await import(ownUrl('metrics.js'))) as typeof import('./metrics.js');
      const { type, body } = await renderMetrics(await this.#status(), observed.totals);
      return { status: 200, type, body };
    });
  }

  /** Never rejects. */
  async answer({ method, url = '/', headers }: IncomingMessage): Promise<Answer> {
    if (!this.#isPrivate && !isOwnName(headers.host)) {
      return text(421, 'this is the admin listener of motya; call it by its address, or as localhost');
    }
    if (method !== 'GET' && method !== 'HEAD') {
      return { ...text(405, 'only GET and HEAD: nothing can be changed here'), allow: 'GET, HEAD' };
    }
    try {
      return await this.#at(url.split('?', 1)[0] ?? '/');
    } catch (error) {
      return text(500, reasonOf(error));
    }
  }

  async #at(path: string): Promise<Answer> {
    switch (path) {
      case '/healthz':
        return text(200, 'ok');
      case '/readyz':
        return text(traitsOf(this.#observed.phase).isReady === true ? 200 : 503, this.#observed.phase);
      case '/status.json':
        return { status: 200, type: 'application/json', body: JSON.stringify(await this.#status()) };
      case '/metrics':
        return this.#metrics();
    }
    const page = Object.hasOwn(PAGE, path) ? PAGE[path] : undefined;
    if (page === undefined) return text(404, 'there are /, /healthz, /readyz, /status.json and /metrics');
    const [file, type] = page;
    return { status: 200, type, body: readFileSync(new URL(ownUrl(`page/${file}`))) };
  }
}

/** Of a file beside this one, also when this release has been removed since. */
function ownUrl(path: string): string {
  return pathToFileURL(ownFile(fileURLToPath(new URL(path, import.meta.url)))).href;
}

function text(status: number, line: string): Answer {
  return { status, type: TEXT, body: `${line}\n` };
}

/**
 * A foreign page whose name leads to this address (DNS rebinding) uses that name in its requests. A genuine request uses the
 * address or localhost.
 */
export function isOwnName(host: string | undefined): boolean {
  const name = /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/.exec(host ?? '');
  if (name === null) return false;
  const [, bracketed, plain = ''] = name;
  return bracketed === undefined ? isIP(plain) === 4 || plain.toLowerCase() === 'localhost' : isIP(bracketed) === 6;
}

/** One answer for all requests of the same time, or shortly after: many cost no more than one. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null;
  return () => {
    if (answer !== null) return answer;
    const asked = ask();
    const forget = (): void => {
      answer = null;
    };
    answer = asked;
    asked.then(() => setTimeout(forget, ADMIN_REUSE_MS).unref(), forget);
    return asked;
  };
}
