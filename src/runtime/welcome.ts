import { createServer } from 'node:http';
import { generation } from './api.js';

/**
 * What `motya start` runs without a script and without settings: a page that shows that an upgrade goes unnoticed. It is an ordinary
 * program; all that it has of Motya is the number of the generation.
 */

const host = '127.0.0.1';
const port = Number(process.env.PORT ?? 8080);

interface Facts {
  readonly generation: number;
  readonly pid: number;
  /** Seconds since this process started. */
  readonly uptime: number;
}
const facts = (): Facts => ({ generation, pid: process.pid, uptime: Math.floor(process.uptime()) });

const server = createServer((request, response) => {
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Vary', 'Accept');
  response.setHeader('X-Content-Type-Options', 'nosniff');
  const path = request.url?.split('?')[0];
  const answer = (status: number, type: string, body: string): void => {
    response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) });
    response.end(request.method === 'HEAD' ? undefined : body);
  };
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    answer(405, 'text/plain; charset=utf-8', 'Only GET and HEAD\n');
  } else if (path !== '/' && path !== '/json') {
    answer(404, 'text/plain; charset=utf-8', 'There is only one page here: /\n');
  } else if (path === '/json' || request.headers.accept?.includes('application/json')) {
    answer(200, 'application/json', `${JSON.stringify(facts())}\n`);
  } else {
    response.setHeader(
      'Content-Security-Policy',
      "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:",
    );
    answer(200, 'text/html; charset=utf-8', page(facts()));
  }
});
server.listen(port, host, () => {
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  console.log(`Motya's welcome page is at http://${host}:${bound}/`);
});

const page = (now: Facts): string => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Motya, generation ${now.generation}</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; --ground: #f6f5f1; --ink: #1d1f24; --soft: #62666f; --card: #fff; --line: #e3e0d8; --mark: #0b7a5c; }
  @media (prefers-color-scheme: dark) {
    :root { --ground: #14161a; --ink: #eceae4; --soft: #9a9ea8; --card: #1c1f25; --line: #2d3139; --mark: #4fd1a5; }
  }
  * { box-sizing: border-box; }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.25rem; background: var(--ground);
         color: var(--ink); font: 1.05rem/1.6 system-ui, sans-serif; }
  main { width: 100%; max-width: 40rem; }
  h1 { margin: 0 0 .25rem; font-size: clamp(1.7rem, 6vw, 2.4rem); line-height: 1.2; letter-spacing: -.02em; }
  p { margin: .5rem 0; }
  .soft { color: var(--soft); }
  dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin: 1.75rem 0; }
  dl div { padding: .9rem 1.1rem; background: var(--card); border: 1px solid var(--line); border-radius: .8rem; }
  dt { color: var(--soft); font-size: .85rem; }
  dd { margin: 0; font-size: 1.9rem; font-weight: 650; font-variant-numeric: tabular-nums; }
  .new dd { color: var(--mark); }
  h2 { margin: 2rem 0 .5rem; font-size: 1.15rem; }
  ol { margin: 0; padding-left: 1.3rem; }
  li { margin: .5rem 0; }
  code { padding: .15rem .45rem; background: var(--card); border: 1px solid var(--line); border-radius: .4rem;
         font: .95em ui-monospace, monospace; white-space: nowrap; }
  [role=status] { min-height: 1.6em; color: var(--mark); font-weight: 600; }
</style>
<main>
  <h1>Motya is running</h1>
  <p class="soft">This small server can be replaced by a new one while you watch, and no request fails.</p>
  <dl>
    <div class="new"><dt>generation</dt><dd id="generation">${now.generation}</dd></div>
    <div><dt>process id</dt><dd id="pid">${now.pid}</dd></div>
    <div><dt>uptime</dt><dd><span id="uptime">${now.uptime}</span> s</dd></div>
  </dl>
  <h2>Try an upgrade now</h2>
  <ol>
    <li>Open a second terminal in the same directory.</li>
    <li>Type <code>npx motya upgrade</code></li>
    <li>Reload this page: the generation is one higher and the process is another.</li>
  </ol>
  <p role="status" id="news"></p>
  <p class="soft">Then run a program of your own, unchanged: <code>npx motya start server.js</code></p>
</main>
<script>
  const show = (id, text) => { document.getElementById(id).textContent = text; };
  let shown = ${now.generation};
  setInterval(async () => {
    try {
      const now = await (await fetch('/json')).json();
      for (const id of ['generation', 'pid', 'uptime']) show(id, now[id]);
      if (now.generation !== shown) show('news', 'Generation ' + now.generation + ' has taken over from generation ' + shown + '.');
      shown = now.generation;
      document.title = 'Motya, generation ' + shown;
    } catch {
      show('news', 'No answer: is the server still running?');
    }
  }, 1000);
</script>
</html>
`;
