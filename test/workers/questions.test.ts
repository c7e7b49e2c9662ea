import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { Channel } from '#src/base/channel.js';
import { allKinds } from '#src/base/drain-kinds.js';
import { native } from '#src/base/os/native.js';
import { type WorkerMessage, type WorkerShapes, workerCodec } from '#src/runtime/worker-messages.js';
import { Counters } from '#src/workers/counters.js';
import { Questions } from '#src/workers/questions.js';
import { openFds } from '../base/native/support.js';
import { until } from '../e2e/harness/until.js';

interface Ends {
  readonly questions: Questions;
  /** Of the process that is asked: what it has heard, and how it answers. */
  readonly heard: WorkerMessage[];
  readonly peer: Channel<WorkerShapes>;
  close(): void;
}

/** Two ends of a real channel. */
function ends(test: TestContext): Ends {
  const [a, b] = native.channel.pair();
  const channel = new Channel(a, workerCodec);
  const peer = new Channel(b, workerCodec);
  const questions = new Questions(channel);
  const heard: WorkerMessage[] = [];
  channel.on('message', (message, fds) => assert.ok(questions.receive(message, fds)));
  channel.on('close', () => questions.close());
  peer.on('message', (message) => heard.push(message));
  channel.open();
  peer.open();
  const close = (): void => {
    peer.close();
    channel.close();
  };
  test.after(close);
  return { questions, heard, peer, close };
}

const idOf = (message: WorkerMessage | undefined): number => (message as { id: number }).id;
const connections = { http1: 1, idle: 0, http2: 0, upgraded: 0, other: 0 };

test('an answer resolves the question whose id it has, and no other one of the same type', async (t) => {
  const { questions, heard, peer } = ends(t);
  const done: string[] = [];
  const first = questions.ask({ type: 'PAUSE', lease: 1000 }, () => done.push('first'));
  const second = questions.ask({ type: 'PAUSE', except: ['tcp://127.0.0.1:1'] }, () => done.push('second'));
  await until(() => heard.length === 2, { what: 'both questions' });
  peer.send({ type: 'PAUSED', id: idOf(heard[1]) });
  await second;
  assert.deepEqual(done, ['second']);
  peer.send({ type: 'PAUSED', id: idOf(heard[0]) });
  await first;
  assert.deepEqual(done, ['second', 'first']);
});

test('an answer without a question, or of another type, changes nothing', async (t) => {
  const { questions, heard, peer } = ends(t);
  const counted = questions.ask({ type: 'COUNT' }, (answer) => answer.connections);
  await until(() => heard.length === 1, { what: 'the question' });
  peer.send({ type: 'ACCEPTING', id: idOf(heard[0]) });
  peer.send({ type: 'COUNTS', id: idOf(heard[0]) + 1, connections: { ...connections, http1: 9 } });
  peer.send({ type: 'COUNTS', id: idOf(heard[0]), connections });
  assert.deepEqual(await counted, connections);
});

test('the fd of each answer is taken by its own question; one that is not wanted is closed', async (t) => {
  const before = openFds();
  const { questions, heard, peer, close } = ends(t);
  const given = [1, 2].map(() => questions.ask({ type: 'GIVE' }, (_, fds) => fds.take(0)));
  await until(() => heard.length === 2, { what: 'both questions' });
  const file = openSync('/dev/null', 'r');
  peer.send({ type: 'GIVEN', id: idOf(heard[1]) }, [file]);
  peer.send({ type: 'GIVEN', id: 99 }, [file]);
  peer.send({ type: 'GIVEN', id: idOf(heard[0]), error: 'no value' });
  await assert.rejects(given[0] as Promise<unknown>, { code: 'ERR_MOTYA_PROTOCOL' });
  closeSync((await given[1]) as number);
  closeSync(file);
  close();
  assert.equal(openFds(), before);
});

test('a process that ends answers nothing: whoever waits, or asks later, gets null', async (t) => {
  const { questions, heard, close } = ends(t);
  const asked = questions.ask({ type: 'DRAIN', times: allKinds(1) }, () => 'drained');
  await until(() => heard.length === 1, { what: 'the question' });
  close();
  assert.equal(await asked, null);
  assert.equal(await questions.ask({ type: 'ACCEPT' }, () => 'accepts'), null);
});

test('who asks for more than is asked already gets it; who asks for as much shares the answer', async (t) => {
  const { questions, heard, peer } = ends(t);
  const counters = new Counters(questions);
  const all = [
    counters.count({}),
    counters.count({ answers: true }),
    counters.count({}),
    counters.count({ answers: true }),
  ];
  await until(() => heard.length === 2, { what: 'two questions' });
  const [plain, withAnswers] = heard;
  assert.deepEqual(withAnswers, { type: 'COUNT', id: idOf(withAnswers), answers: true });
  peer.send({ type: 'COUNTS', id: idOf(plain), connections });
  peer.send({ type: 'COUNTS', id: idOf(withAnswers), connections, answers: { answers: 3, failed: 1 } });
  assert.deepEqual(await Promise.all(all), [connections, connections, connections, connections]);
  assert.deepEqual(counters.answers, { answers: 3, failed: 1 });
  const delayed = [counters.count({ delay: true }), counters.count({})];
  await until(() => heard.length === 3, { what: 'one question for both' });
  peer.send({ type: 'COUNTS', id: idOf(heard[2]), connections, delay: { p50: 1500, p99: 2000, max: 4000 } });
  await Promise.all(delayed);
  assert.deepEqual(counters.takeDelay(), { p50: 1.5, p99: 2, max: 4 });
  assert.equal(counters.takeDelay(), null);
});

test('listeners are counted in parts that fit into a message; the same keys are asked for once', async (t) => {
  const { questions, heard, peer } = ends(t);
  const counters = new Counters(questions);
  const keys = Array.from({ length: 200 }, (_, at) => `tcp://127.0.0.1:${at}`);
  peer.on('message', (message) => {
    if (message.type !== 'COUNT_LISTENERS') return;
    const listeners = message.keys.map((key) => ({ key, open: 0, accepted: 1 }));
    peer.send({ type: 'LISTENER_COUNTS', id: message.id, listeners });
  });
  const [one, same] = await Promise.all([counters.countListeners(keys), counters.countListeners(keys)]);
  assert.deepEqual(
    one.map(({ key }) => key),
    keys,
  );
  assert.equal(same, one);
  assert.equal(heard.length, 2);
});
