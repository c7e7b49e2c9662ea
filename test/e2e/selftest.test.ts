import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { constants, createServer as createHttp2 } from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { WebSocketServer } from 'ws';
import {
  app,
  childrenOf,
  fdCount,
  freePort,
  isAlive,
  listeningInodes,
  makeCertificate,
  PACKAGES,
  parentOf,
  ROOT,
  startTimeOf,
  until,
  Workspace,
  workspace,
} from './harness/index.js';
import {
  type Load,
  type LoadOptions,
  type LoadReport,
  ResponseParser,
  startLoad,
  startLoadProcess,
} from './load/index.js';

const BODY = JSON.stringify({ pid: 1, generation: null, version: null });
const HEAD = `HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n`;
const ANSWER = `${HEAD}\r\n${BODY}`;

/** A TCP server with this behaviour, closed with all its connections after the test; returns its port. */
async function serve(test: TestContext, behave: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    behave(socket);
  });
  test.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  });
  return listen(server);
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Runs a load until `enough` is true for its report; returns the final report. */
async function loadUntil(load: Load, enough: (report: LoadReport) => boolean, deadline = 20_000): Promise<LoadReport> {
  let last: LoadReport | undefined;
  try {
    await until(
      async () => {
        last = await load.report();
        return enough(last);
      },
      { what: 'enough load', deadline, instead: () => last },
    );
  } finally {
    last = await load.stop();
  }
  return last;
}

const failed = (report: LoadReport) => report.failures > 0;

describe('the driver sees each failure', () => {
  const cases: Record<string, { options: LoadOptions; behave: (socket: Socket) => void; kind: string; phase: string }> =
    {
      'a reset instead of an answer': {
        options: { fresh: 1 },
        behave: (socket) => socket.once('data', () => socket.resetAndDestroy()),
        kind: 'reset',
        phase: 'in-flight',
      },
      'an end before any answer': {
        options: { fresh: 1 },
        behave: (socket) => socket.once('data', () => socket.end()),
        kind: 'truncated',
        phase: 'in-flight',
      },
      'an end within the body': {
        options: { keepAlive: 1 },
        behave: (socket) => socket.once('data', () => socket.end(ANSWER.slice(0, -1))),
        kind: 'truncated',
        phase: 'in-flight',
      },
      'an end before the last chunk': {
        options: { keepAlive: 1 },
        behave: (socket) =>
          socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n')),
        kind: 'truncated',
        phase: 'in-flight',
      },
      'an end under the second request of a connection': {
        options: { keepAlive: 1 },
        behave: (socket) =>
          socket.once('data', () => socket.write(ANSWER, () => socket.once('data', () => socket.end()))),
        kind: 'truncated',
        phase: 'reuse',
      },
      'bytes after the answer': {
        options: { keepAlive: 1 },
        behave: (socket) => socket.on('data', () => socket.write(`${ANSWER}!`)),
        kind: 'malformed',
        phase: 'in-flight',
      },
      'another status': {
        options: { keepAlive: 1 },
        behave: (socket) => socket.on('data', () => socket.write('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n')),
        kind: 'wrong',
        phase: 'in-flight',
      },
      'no answer in time': {
        options: { keepAlive: 1, limitMs: 1_000 },
        behave: (socket) => socket.resume(),
        kind: 'late',
        phase: 'in-flight',
      },
      'a connection that stays open after Connection: close': {
        options: { fresh: 1, limitMs: 1_000 },
        behave: (socket) => socket.on('data', () => socket.write(ANSWER)),
        kind: 'late',
        phase: 'idle',
      },
      'an upload that comes back changed': {
        options: { upload: 1, uploadBytes: 32, uploadMs: 16 },
        behave: (socket) => {
          let text = '';
          socket.on('data', (chunk) => {
            text += chunk.toString('latin1');
            if (!text.endsWith('\r\n0\r\n\r\n')) return;
            text = '';
            const head = `HTTP/1.1 200 OK\r\nX-Identity: ${BODY}\r\nContent-Length: 32\r\n\r\n`;
            socket.write(`${head}${'x'.repeat(32)}`);
          });
        },
        kind: 'wrong',
        phase: 'in-flight',
      },
      'an echo that is cut off': {
        options: { tcp: 1 },
        behave: (socket) => {
          socket.write(`${BODY}\n`);
          socket.once('data', (bytes) => socket.end(bytes.subarray(1, 1)));
        },
        kind: 'truncated',
        phase: 'reuse',
      },
      'a TLS handshake that is cut off': {
        options: { fresh: 1, tls: true },
        behave: (socket) => socket.once('data', () => socket.end()),
        kind: 'reset',
        phase: 'connect',
      },
    };
  for (const [name, { options, behave, kind, phase }] of Object.entries(cases)) {
    it(name, async (test) => {
      const port = await serve(test, behave);
      const report = await loadUntil(startLoad({ thinkMs: 1, ...options, port }), failed);
      const [first] = report.details;
      assert.deepEqual({ kind: first?.kind, phase: first?.phase }, { kind, phase }, first?.text);
      assert.ok((first?.at ?? -1) >= 0);
    });
  }

  it('nobody listens', async () => {
    const load = startLoad({ port: await freePort(), keepAlive: 1, fresh: 1, http2: 1, tcp: 1, webSocket: 1 });
    const report = await loadUntil(load, ({ failuresByClient }) => Object.keys(failuresByClient).length === 5);
    assert.deepEqual(report.failuresByKind, { refused: report.failures });
    assert.deepEqual(report.failuresByPhase, { connect: report.failures });
  });

  it('a unix path that is gone', async (test) => {
    const report = await loadUntil(startLoad({ path: workspace(test).path('no.sock'), fresh: 1 }), failed);
    assert.equal(report.details[0]?.kind, 'refused');
  });

  it('close() of a plain node:http server under keep-alive clients', async (test) => {
    const servers = [createHttp((_request, response) => response.end(BODY))];
    const port = await listen(servers[0] as Server);
    test.after(() => {
      for (const server of servers) server.close().closeAllConnections();
    });
    const load = startLoadProcess({ port, keepAlive: 60, thinkMs: 2 });
    // Not every round loses a request: it has to be on its way when the idle connections are closed.
    const loseOne = async () => {
      const { answers } = await load.report();
      await until(async () => (await load.report()).answers > answers + 100, { what: 'answers' });
      // Its 'close' is not awaited: connections with a request at this moment live on as long as they are used.
      servers.at(-1)?.close();
      const next = createHttp((_request, response) => response.end(BODY));
      servers.push(next);
      next.listen(port, '127.0.0.1');
      await once(next, 'listening');
      return ((await load.report()).failuresByPhase.reuse ?? 0) > 0;
    };
    await until(loseOne, { what: 'a request lost on a reused connection' }).finally(() => load.stop());
  });

  it('lost datagrams', async (test) => {
    const socket = createSocket('udp4');
    test.after(() => socket.close());
    socket.on('message', (message, peer) => {
      if (Number(message) % 2 === 0) return;
      socket.send(JSON.stringify({ pid: 1, echo: String(message) }), peer.port, peer.address);
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const report = await loadUntil(
      startLoad({ port: socket.address().port, udp: 1, thinkMs: 1, limitMs: 3_000 }),
      failed,
    );
    assert.deepEqual(report.failuresByKind, { lost: report.failures });
    assert.equal(report.answers + report.failures, report.datagramsSent);
  });

  it('a WebSocket that ends without a close frame; a close frame is no failure', async (test) => {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    test.after(() => server.close());
    let count = 0;
    server.on('connection', (socket) => {
      const politely = count++ % 2 === 0;
      socket.send(BODY);
      socket.once('message', (message) => {
        socket.send(String(message), () => (politely ? socket.close(1012) : socket.terminate()));
      });
    });
    await once(server, 'listening');
    const load = startLoad({ port: (server.address() as AddressInfo).port, webSocket: 1, thinkMs: 20 });
    const report = await loadUntil(load, (now) => now.failures > 0 && (now.webSocketCloses['1012'] ?? 0) > 0);
    for (const { kind } of report.details) assert.equal(kind, 'truncated');
  });

  it('HTTP/2: a refused stream is repeated, a cut-off one is a failure', async (test) => {
    let refuse = true;
    let cut = false;
    const server = createHttp2();
    server.on('stream', (stream) => {
      stream.on('error', () => {});
      if (cut) return stream.session?.destroy();
      if (refuse) stream.close(constants.NGHTTP2_REFUSED_STREAM);
      else {
        stream.respond({ ':status': 200 });
        stream.end(BODY);
      }
      refuse = !refuse;
      return undefined;
    });
    test.after(() => server.close());
    const load = startLoad({ port: await listen(server), http2: 1, streams: 1 });
    await until(async () => (await load.report()).answers >= 3, { what: 'answers' });
    const before = await load.report();
    cut = true;
    const after = await loadUntil(load, failed);
    assert.equal(before.failures, 0, JSON.stringify(before.details));
    assert.ok(before.http2Retried >= 3);
    assert.ok(['truncated', 'reset'].includes(after.details[0]?.kind ?? ''), JSON.stringify(after.details));
  });
});

describe('the driver is content with good servers', () => {
  it('obeys Connection: close', async (test) => {
    let disobeyed = 0;
    const port = await serve(test, (socket) => {
      socket.once('data', () => socket.end(`${HEAD}Connection: close\r\n\r\n${BODY}`));
      socket.on('data', () => disobeyed++);
    });
    let requests = 0;
    const report = await loadUntil(startLoad({ port, keepAlive: 3, thinkMs: 1 }), ({ answers }) => answers > 30);
    requests = report.answers;
    assert.equal(report.failures, 0, JSON.stringify(report.details));
    assert.equal(report.closesObeyed, requests);
    assert.equal(disobeyed, requests);
  });

  it('counts a connection that is closed while idle, and takes a new one', async (test) => {
    const port = await serve(test, (socket) => socket.on('data', () => socket.write(ANSWER, () => socket.end())));
    const report = await loadUntil(startLoad({ port, keepAlive: 2, thinkMs: 30 }), ({ idleCloses }) => idleCloses > 3);
    assert.ok(report.connections > 3);
  });

  const fixtures: Record<string, LoadOptions> = {
    'http.cjs': { keepAlive: 5, fresh: 2, slow: 1, upload: 2 },
    'http.mjs': { keepAlive: 5, fresh: 2, slow: 1, upload: 2 },
    'https.cjs': { tls: true, keepAlive: 5, fresh: 2, slow: 1, upload: 2 },
    'http2-h2c.mjs': { http2: 3 },
    'http2-tls.mjs': { tls: true, http2: 3, keepAlive: 2, fresh: 1 },
    'net-echo.cjs': { tcp: 5 },
    'udp-echo.cjs': { udp: 5 },
    'express.cjs': { keepAlive: 3, fresh: 2, slow: 1, upload: 2 },
    'fastify.mjs': { keepAlive: 3, fresh: 2, slow: 1, upload: 2 },
    'koa.mjs': { keepAlive: 3, fresh: 2, slow: 1, upload: 2 },
    'ws.cjs': { webSocket: 3, keepAlive: 2 },
    'graceful.cjs': { keepAlive: 2, fresh: 1 },
    'crash.cjs': { keepAlive: 2, fresh: 1 },
    'ready-later.mjs': { keepAlive: 2, fresh: 1 },
  };
  for (const [name, options] of Object.entries(fixtures)) {
    it(`${name} under bare node`, async (test) => {
      const space = workspace(test);
      const certificate = options.tls ? await makeCertificate(space.dir) : {};
      const env = { ...certificate, APP_VERSION: 'one', READY_FILE: space.path('ready') };
      const server = space.node([app(name)], { env });
      const line = await server.waitForStdout(/listening/);
      const { port } = (JSON.parse(line) as { listening: AddressInfo }).listening;
      const given = { ...options, port, thinkMs: 5, slowMs: 50, uploadMs: 50 };
      const load = name === 'http.cjs' ? startLoadProcess(given) : startLoad(given);
      const kinds = Object.keys(options).filter((key) => key !== 'tls') as (keyof LoadReport['answersByClient'])[];
      const report = await loadUntil(load, (now) => kinds.every((kind) => (now.answersByClient[kind] ?? 0) >= 5));
      assert.equal(report.failures, 0, JSON.stringify(report.details));
      assert.equal(report.http2Retried, 0);
      const [who, ...others] = report.servers.map(({ pid, generation, version }) => ({ pid, generation, version }));
      assert.deepEqual([who, others], [{ pid: server.pid, generation: null, version: 'one' }, []]);
      assert.ok((report.servers[0]?.connections ?? 0) > 0 || options.udp !== undefined);
    });
  }

  it('multi.mjs and unix.cjs on their addresses', async (test) => {
    const space = workspace(test);
    const path = space.path('app.sock');
    const unix = space.node([app('unix.cjs'), path]);
    const multi = space.node([app('multi.mjs'), '0', '127.0.0.1:0', space.path('multi.sock')]);
    await unix.waitForStdout(/listening/);
    const line = await multi.waitForStdout(/listening/);
    const [first, second] = (JSON.parse(line) as { listening: AddressInfo[] }).listening;
    const loads: LoadOptions[] = [
      { path, keepAlive: 2, fresh: 1 },
      { path: space.path('multi.sock'), fresh: 1 },
      { port: [first?.port ?? 0, second?.port ?? 0], keepAlive: 2, fresh: 1 },
    ];
    const reports = await Promise.all(loads.map((one) => loadUntil(startLoad(one), ({ answers }) => answers > 10)));
    assert.deepEqual(
      reports.map(({ failures }) => failures),
      [0, 0, 0],
    );
    assert.equal(listeningInodes(multi.pid).size, 3);
  });
});

describe('the parser of responses', () => {
  const chunked =
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n';
  for (const [text, body] of [
    [ANSWER, BODY],
    [chunked, 'abc0123456789'],
    [`HTTP/1.1 100 Continue\r\n\r\n${ANSWER}`, BODY],
  ] as const) {
    it(`takes ${JSON.stringify(text.slice(0, 60))} byte by byte, complete at the last one only`, () => {
      const parser = new ResponseParser();
      const results = [...Buffer.from(text)].map((byte) => parser.push(Buffer.of(byte)));
      assert.deepEqual(results.slice(0, -1).filter(Boolean), []);
      assert.equal(results.at(-1)?.body.toString(), body);
    });
  }
  for (const text of [
    `${ANSWER} `,
    `${chunked}0`,
    'HTTP/1.1 200 OK\r\n\r\n',
    'HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc',
    'HTTP/1.1 200 OK\r\nbad header\r\n\r\n',
  ]) {
    it(`rejects ${JSON.stringify(text.slice(0, 80))}`, () => {
      assert.throws(() => new ResponseParser().push(Buffer.from(text)));
    });
  }
});

describe('the harness', () => {
  it('finds and kills what a process leaves behind', async () => {
    const space = new Workspace();
    // Much memory: its end takes a while, in which it has no marker and still is there.
    const code = 'globalThis.memory = Buffer.alloc(1e9, 1); setInterval(() => {}, 1e6)';
    const orphan = `require('node:child_process').spawn(process.execPath, ['-e', '${code}'], { detached: true, stdio: 'ignore' }).unref()`;
    assert.deepEqual(await space.node(['-e', orphan]).waitForExit(), { code: 0, signal: null });
    const [left] = space.processes();
    assert.ok(left !== undefined && parentOf(left) !== process.pid);
    await assert.rejects(space.nothingLeft(50), /setInterval/);
    await assert.rejects(space.close(100), /left behind/);
    assert.equal(isAlive(left), false);
  });

  it('reads what a process is', async (test) => {
    const server = workspace(test).node([app('http.cjs')]);
    const before = childrenOf(process.pid);
    await server.waitForStdout(/listening/);
    assert.ok(before.includes(server.pid));
    assert.equal(parentOf(server.pid), process.pid);
    assert.ok((startTimeOf(server.pid) ?? 0) > 0);
    assert.ok(fdCount(server.pid) > 3);
    assert.equal(listeningInodes(server.pid).size, 1);
    server.kill('SIGKILL');
    assert.deepEqual(await server.exited, { code: null, signal: 'SIGKILL' });
    assert.equal(fdCount(server.pid), 0);
  });

  it('fails at once for output that cannot come any more', async (test) => {
    const child = workspace(test).node([app('throws.cjs')]);
    await assert.rejects(child.waitForStdout(/listening/), /this program cannot start/);
  });

  it('until says what it waited for', async () => {
    const waiting = until(() => false, { what: 'the end of time', deadline: 10, instead: () => ({ found: 1 }) });
    await assert.rejects(waiting, /in vain for the end of time; instead: {"found":1}/);
  });
});

it('.ci/run installs each package that a left out test names', () => {
  const ci = readFileSync(`${ROOT}.ci/run`, 'utf8');
  const list = /^PACKAGES=\(([^)]*)\)/m.exec(ci)?.[1]?.split(/\s+/) ?? [];
  // Every Debian has it.
  const packages = Object.values(PACKAGES).filter((name) => name !== 'bash');
  assert.deepEqual(
    packages.filter((name) => !list.includes(name)),
    [],
  );
});
