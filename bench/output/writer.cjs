'use strict';
// Writes lines when it is asked: GET /?lines=N&kind=plain|json&end=E, at full speed or at &rate=R lines a second, one by one;
// then a line that says E.
const { createServer } = require('node:http');

const LINES = {
  plain: '2026-01-01T00:00:00.000Z GET /orders/4711?page=2 200 12.4 ms 1834 bytes from 192.0.2.17 ok',
  json: '{"level":30,"time":1767225600000,"req":{"method":"GET","url":"/orders/4711?page=2"},"status":200,"ms":12.4,"msg":"ok"}',
};

createServer((request, response) => {
  const query = new URL(request.url, 'http://localhost').searchParams;
  const [count, rate, line] = [Number(query.get('lines')), Number(query.get('rate')), LINES[query.get('kind')]];
  const done = () => {
    console.log(query.get('end'));
    response.end();
  };
  if (rate > 0) {
    const started = performance.now();
    let written = 0;
    const timer = setInterval(() => {
      for (const due = ((performance.now() - started) * rate) / 1000; written < Math.min(due, count); written++) {
        console.log(line);
      }
      if (written < count) return;
      clearInterval(timer);
      done();
    }, 1);
    return;
  }
  let left = count;
  const burst = () => {
    for (const end = Math.max(0, left - 1000); left > end; left--) console.log(line);
    // What a pipe does not take waits in the program: it goes on when that is gone.
    if (left === 0) process.stdout.write('', done);
    else process.stdout.write('', () => setImmediate(burst));
  };
  burst();
}).listen(process.env.PORT, '127.0.0.1');
