// Programs of others, at pinned versions. `places` are what clients go to: HTTP (a path that answers 200), or a conversation.
// What a program needs is in `files`; `$PORT` and `$PORT2` in them, in `args` and `env` are ports that are free.

/** Framework → the smallest server that its documentation has. */
const app = (name, packages, source, path = '/') => ({
  name,
  packages,
  files: { 'app.mjs': source },
  script: 'app.mjs',
  places: [{ port: 'PORT', path }],
});

/** A command-line server, started by the file that its package names as its command. */
const cli = (name, packages, script, args, more = {}) => ({
  name,
  packages,
  script: `node_modules/${script}`,
  args,
  files: { 'public/index.html': '<p>hello</p>\n' },
  places: [{ port: 'PORT', path: '/' }],
  ...more,
});

const EXPRESS = { express: '5.3.0' };

export const PROGRAMS = [
  app(
    'Express',
    EXPRESS,
    `import express from 'express';
express().get('/', (_, res) => res.send('hello')).listen($PORT);`,
  ),
  app(
    'Fastify',
    { fastify: '5.12.8' },
    `import Fastify from 'fastify';
const app = Fastify();
app.get('/', async () => 'hello');
await app.listen({ port: $PORT });`,
  ),
  app(
    'Koa',
    { koa: '3.3.0' },
    `import Koa from 'koa';
new Koa().use((ctx) => { ctx.body = 'hello'; }).listen($PORT);`,
  ),
  app(
    'hapi',
    { '@hapi/hapi': '21.4.10' },
    `import Hapi from '@hapi/hapi';
const server = Hapi.server({ port: $PORT });
server.route({ method: 'GET', path: '/', handler: () => 'hello' });
await server.start();`,
  ),
  app(
    'restify',
    { restify: '12.0.0' },
    `import restify from 'restify';
const server = restify.createServer();
server.get('/', async (req, res) => { res.send('hello'); });
server.listen($PORT);`,
  ),
  app(
    'h3',
    { h3: '2.0.8', srvx: '1.0.8' },
    `import { H3, serve } from 'h3';
serve(new H3().get('/', () => 'hello'), { port: $PORT });`,
  ),
  app(
    'Hono',
    { hono: '4.13.19', '@hono/node-server': '2.1.9' },
    `import { serve } from '@hono/node-server';
import { Hono } from 'hono';
serve({ fetch: new Hono().get('/', (c) => c.text('hello')).fetch, port: $PORT });`,
  ),
  app(
    'Polka',
    { polka: '0.5.2' },
    `import polka from 'polka';
polka().get('/', (req, res) => res.end('hello')).listen($PORT);`,
  ),
  app(
    'restana',
    { restana: '6.1.0' },
    `import restana from 'restana';
restana().get('/', (req, res) => res.send('hello')).start($PORT);`,
  ),
  app(
    'connect, serve-static',
    { connect: '3.7.0', 'serve-static': '2.2.1' },
    `import connect from 'connect';
import serveStatic from 'serve-static';
connect().use(serveStatic('.')).listen($PORT);`,
    '/app.mjs',
  ),
  app(
    'Feathers',
    { '@feathersjs/feathers': '5.0.50', '@feathersjs/express': '5.0.50' },
    `import { feathers } from '@feathersjs/feathers';
import express, { rest } from '@feathersjs/express';
const app = express(feathers());
app.configure(rest());
app.use('messages', { async find() { return ['hello']; } });
await app.listen($PORT);`,
    '/messages',
  ),
  app(
    'NestJS',
    {
      '@nestjs/core': '12.5.1',
      '@nestjs/common': '12.5.1',
      '@nestjs/platform-express': '12.5.1',
      'reflect-metadata': '0.2.2',
      rxjs: '7.8.2',
    },
    `import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
class Hello { hello() { return 'hello'; } }
Controller()(Hello);
Get()(Hello.prototype, 'hello', Object.getOwnPropertyDescriptor(Hello.prototype, 'hello'));
class App {}
Module({ controllers: [Hello] })(App);
const app = await NestFactory.create(App);
app.enableShutdownHooks();
await app.listen($PORT);`,
  ),
  app(
    'Apollo Server',
    { '@apollo/server': '5.5.1', graphql: '17.1.0' },
    `import { ApolloServer } from '@apollo/server';
import { startStandaloneServer } from '@apollo/server/standalone';
const server = new ApolloServer({ typeDefs: 'type Query { hello: String }', csrfPrevention: false, resolvers: { Query: { hello: () => 'world' } } });
await startStandaloneServer(server, { listen: { port: $PORT } });`,
    '/?query=%7Bhello%7D',
  ),
  app(
    'GraphQL Yoga',
    { 'graphql-yoga': '5.24.1', graphql: '17.1.0' },
    `import { createServer } from 'node:http';
import { createSchema, createYoga } from 'graphql-yoga';
const schema = createSchema({ typeDefs: 'type Query { hello: String }', resolvers: { Query: { hello: () => 'world' } } });
createServer(createYoga({ schema })).listen($PORT);`,
    '/graphql?query=%7Bhello%7D',
  ),
  app(
    'tRPC',
    { '@trpc/server': '11.25.2' },
    `import { initTRPC } from '@trpc/server';
import { createHTTPServer } from '@trpc/server/adapters/standalone';
const t = initTRPC.create();
createHTTPServer({ router: t.router({ hello: t.procedure.query(() => 'world') }) }).listen($PORT);`,
    '/hello',
  ),
  app(
    'Socket.IO',
    { 'socket.io': '4.8.4' },
    `import { Server } from 'socket.io';
new Server($PORT);`,
    '/socket.io/?EIO=4&transport=polling',
  ),
  app(
    'http-proxy',
    { 'http-proxy': '1.18.1' },
    `import { createServer } from 'node:http';
import httpProxy from 'http-proxy';
createServer((req, res) => res.end('hello')).listen($PORT2);
const proxy = httpProxy.createProxyServer({ target: 'http://127.0.0.1:$PORT2' });
createServer((req, res) => proxy.web(req, res, {}, () => res.writeHead(502).end())).listen($PORT);`,
  ),
  {
    ...app(
      'Express, prom-client',
      { ...EXPRESS, 'prom-client': '15.1.3' },
      `import express from 'express';
import { collectDefaultMetrics, register } from 'prom-client';
collectDefaultMetrics();
express().get('/metrics', async (_, res) => res.type(register.contentType).send(await register.metrics())).listen($PORT2);
express().get('/', (_, res) => res.send('hello')).listen($PORT);`,
    ),
    places: [
      { port: 'PORT', path: '/' },
      { port: 'PORT2', path: '/metrics' },
    ],
  },
  app(
    'get-port',
    { 'get-port': '7.2.0' },
    `import { createServer } from 'node:http';
import getPort from 'get-port';
createServer((req, res) => res.end('hello')).listen(await getPort({ port: $PORT }));`,
  ),
  app(
    'portfinder',
    { portfinder: '1.0.38' },
    `import { createServer } from 'node:http';
import portfinder from 'portfinder';
createServer((req, res) => res.end('hello')).listen(await portfinder.getPortPromise({ port: $PORT }));`,
  ),
  app(
    'detect-port',
    { 'detect-port': '2.1.0' },
    `import { createServer } from 'node:http';
import { detect } from 'detect-port';
createServer((req, res) => res.end('hello')).listen(await detect($PORT));`,
  ),

  cli('http-server', { 'http-server': '14.1.1' }, 'http-server/bin/http-server', ['public', '-p', '$PORT', '-s']),
  cli('serve', { serve: '14.2.7' }, 'serve/build/main.js', ['public', '-l', '$PORT', '-L']),
  cli('serve, its port fixed', { serve: '14.2.7' }, 'serve/build/main.js', [
    'public',
    '-l',
    '$PORT',
    '-L',
    '--no-port-switching',
  ]),
  cli('sirv', { 'sirv-cli': '3.0.1' }, 'sirv-cli/bin.js', ['public', '--port', '$PORT', '--quiet']),
  cli(
    'json-server',
    { 'json-server': '0.17.4' },
    'json-server/lib/cli/bin.js',
    ['db.json', '--port', '$PORT', '--quiet'],
    {
      files: { 'db.json': '{"posts":[{"id":1}]}' },
      places: [{ port: 'PORT', path: '/posts' }],
    },
  ),
  cli('live-server', { 'live-server': '1.2.2' }, 'live-server/live-server.js', [
    'public',
    '--port=$PORT',
    '--no-browser',
    '--quiet',
  ]),
  cli('local-web-server', { 'local-web-server': '5.4.0' }, 'local-web-server/bin/cli.js', [
    '--port',
    '$PORT',
    '--directory',
    'public',
  ]),
  cli('vite preview', { vite: '8.4.0' }, 'vite/bin/vite.js', [
    'preview',
    '--outDir',
    'public',
    '--port',
    '$PORT',
    '--host',
    '127.0.0.1',
  ]),
  cli('vite dev', { vite: '8.4.0' }, 'vite/bin/vite.js', ['public', '--port', '$PORT', '--host', '127.0.0.1']),
  cli(
    'fastify-cli',
    { 'fastify-cli': '8.0.2', fastify: '5.12.8' },
    'fastify-cli/cli.js',
    ['start', '-p', '$PORT', 'plugin.cjs'],
    {
      files: { 'plugin.cjs': "module.exports = async (app, options) => { app.get('/', async () => 'hello'); };\n" },
    },
  ),
  cli('micro', { micro: '10.0.1' }, 'micro/dist/src/bin/micro.js', ['-l', 'tcp://0.0.0.0:$PORT', 'hello.cjs'], {
    files: { 'hello.cjs': "module.exports = () => 'hello';\n" },
  }),
  cli('tsx', { tsx: '4.23.15' }, 'tsx/dist/cli.mjs', ['server.ts'], {
    files: {
      'server.ts': `import { createServer } from 'node:http';
const port: number = $PORT;
createServer((req, res) => res.end('hello')).listen(port);
`,
    },
  }),
  cli(
    'verdaccio',
    { verdaccio: '6.10.4' },
    'verdaccio/bin/verdaccio',
    ['--listen', '$PORT', '--config', 'verdaccio.yaml'],
    {
      files: { 'verdaccio.yaml': 'storage: ./storage\nauth: {}\nuplinks: {}\npackages: { "**": { access: $all } }\n' },
      places: [{ port: 'PORT', path: '/-/ping' }],
    },
  ),
  cli('Node-RED', { 'node-red': '5.0.7' }, 'node-red/red.js', ['--port', '$PORT', '--userDir', 'red'], { files: {} }),
  cli('PeerJS server', { peer: '1.0.2' }, 'peer/dist/bin/peerjs.js', ['--port', '$PORT']),

  {
    ...app(
      'Aedes (MQTT)',
      { aedes: '1.2.0' },
      `import { createServer } from 'node:net';
import { Aedes } from 'aedes';
const broker = await Aedes.createBroker();
createServer(broker.handle).listen($PORT);`,
    ),
    // CONNECT with an empty client id, then CONNACK.
    places: [
      { port: 'PORT', talk: [{ send: '\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00', expect: '\x20\x02\x00\x00' }] },
    ],
  },
  {
    ...app(
      'smtp-server',
      { 'smtp-server': '3.21.6' },
      `import { SMTPServer } from 'smtp-server';
new SMTPServer({ authOptional: true }).listen($PORT);`,
    ),
    places: [{ port: 'PORT', talk: [{ expect: '220' }, { send: 'EHLO a\r\n', expect: '250' }] }],
  },
  {
    ...app(
      'ftp-srv',
      { 'ftp-srv': '4.6.3' },
      `import FtpSrv from 'ftp-srv';
const server = new FtpSrv({ url: 'ftp://127.0.0.1:$PORT', anonymous: true });
await server.listen();`,
    ),
    places: [{ port: 'PORT', talk: [{ expect: '220' }, { send: 'NOOP\r\n', expect: '' }] }],
  },
  {
    ...app(
      'ssh2',
      { ssh2: '1.17.0' },
      `import { generateKeyPairSync } from 'node:crypto';
import ssh2 from 'ssh2';
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, privateKeyEncoding: { type: 'pkcs1', format: 'pem' }, publicKeyEncoding: { type: 'pkcs1', format: 'pem' } });
new ssh2.Server({ hostKeys: [privateKey] }, (client) => client.on('error', () => {})).listen($PORT);`,
    ),
    places: [{ port: 'PORT', talk: [{ send: 'SSH-2.0-test\r\n', expect: 'SSH-2.0-' }] }],
  },
  {
    ...app(
      'dns2',
      { dns2: '3.1.1' },
      `import dns2 from 'dns2';
const { Packet } = dns2;
const server = dns2.createServer({
  udp: true,
  handle: (request, send) => {
    const response = Packet.createResponseFromRequest(request);
    response.answers.push({ name: request.questions[0].name, type: Packet.TYPE.A, class: Packet.CLASS.IN, ttl: 300, address: '127.0.0.1' });
    send(response);
  },
});
await server.listen({ udp: { port: $PORT, address: '127.0.0.1' } });`,
    ),
    // A query for the A record of "a.b".
    places: [
      {
        port: 'PORT',
        datagram: '\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x01b\x00\x00\x01\x00\x01',
        expect: '\x12\x34',
      },
    ],
  },
];
