import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Form, type Stream, taggerFor } from '#src/logging/tagger.js';

const tag = { service: 'web', worker: 0, generation: 3 };
const json: Form = { pretty: false, coloured: false, journal: false };
const pretty: Form = { pretty: true, coloured: false, journal: false };

const run = (text: string | Buffer, form: Form, stream: Stream = 'stdout', partial = false): Buffer =>
  taggerFor(tag, stream, form)(Buffer.from(text), partial);
const lines = (text: string, form: Form, stream: Stream = 'stdout'): string[] =>
  run(text, form, stream).toString().split('\n').slice(0, -1);

describe('JSON', () => {
  it('a line that is an object keeps its members, after the tag', () => {
    assert.deepEqual(lines('{"level":30,"msg":"hi"}\n{}\n{ }\n{ "a": {} }\n', json), [
      '{"service":"web","worker":0,"generation":3,"level":30,"msg":"hi"}',
      '{"service":"web","worker":0,"generation":3}',
      '{"service":"web","worker":0,"generation":3 }',
      '{"service":"web","worker":0,"generation":3, "a": {} }',
    ]);
  });

  it('whatever else comes, every line is one of JSON', () => {
    const odd = [
      'plain',
      '',
      '{"a":1}{"b":2}',
      '{"a":NaN}',
      '{ a: 1 }',
      '{"a":"\\path"}',
      '{"a":1',
      '[1]',
      '7',
      'quote " \\ \t tab \u0000 \u2028 €',
      'windows\r',
      '{"crlf":true}\r',
    ];
    const tagged = lines(`${odd.join('\n')}\n`, json, 'stderr').map((line) => JSON.parse(line) as { message?: string });
    assert.deepEqual(
      tagged.map((line) => line.message),
      [...odd.slice(0, -2), 'windows', undefined],
    );
    const { time, ...rest } = tagged[0] as { time?: string };
    assert.ok(Math.abs(Date.parse(time ?? '') - Date.now()) < 60_000);
    assert.deepEqual(rest, { ...tag, stream: 'stderr', message: 'plain' });
    assert.deepEqual(tagged.at(-1), { ...tag, crlf: true });
  });

  it('bytes that are no UTF-8 are replaced', () => {
    const [line = ''] = run(Buffer.from([0x61, 0xff, 0x0a]), json)
      .toString()
      .split('\n');
    assert.equal((JSON.parse(line) as { message: string }).message, 'a\ufffd');
  });

  it('a piece of a long line says so, even if it looks like an object', () => {
    const piece = JSON.parse(run('{"a":1}\n', json, 'stdout', true).toString()) as object;
    assert.deepEqual(
      { ...piece, time: null },
      { time: null, ...tag, stream: 'stdout', partial: true, message: '{"a":1}' },
    );
  });
});

describe('pretty', () => {
  it('a prefix, and the bytes as they are', () => {
    const bytes = Buffer.concat([Buffer.from('ä€\n\nx\r'), Buffer.from([0xff, 0xfe, 0, 0x0a])]);
    const expected = [Buffer.from('web.0 g3 │ ä€\nweb.0 g3 │ \nweb.0 g3 │ x\r'), Buffer.from([0xff, 0xfe, 0, 0x0a])];
    assert.deepEqual(run(bytes, pretty), Buffer.concat(expected));
  });

  it('has colours on a terminal, and its own for stderr', () => {
    const colours = { ...pretty, coloured: true };
    assert.deepEqual(lines('a\n', colours), ['\x1b[34mweb.0 g3 │\x1b[0m a']);
    assert.deepEqual(lines('a\n', colours, 'stderr'), ['\x1b[34mweb.0 g3 \x1b[31m│\x1b[0m a']);
  });
});

describe('the journal', () => {
  const journal = { ...pretty, journal: true };
  it('stderr is a warning, stdout what the unit says', () => {
    assert.deepEqual(lines('a\nb\n', journal, 'stderr'), ['<4>web.0 g3 │ a', '<4>web.0 g3 │ b']);
    assert.deepEqual(lines('a\n', journal), ['web.0 g3 │ a']);
    assert.match(lines('a\n', { ...json, journal: true }, 'stderr')[0] ?? '', /^<4>\{"time":.*"message":"a"\}$/);
  });

  it('a priority that the program gives goes first', () => {
    assert.deepEqual(lines('<3>a\n<9>b\n', journal), ['<3>web.0 g3 │ a', 'web.0 g3 │ <9>b']);
    assert.match(lines('<2>a\n', { ...json, journal: true }, 'stderr')[0] ?? '', /^<2>\{.*"message":"a"\}$/);
    assert.deepEqual(lines('<3>a\n', pretty), ['web.0 g3 │ <3>a']);
  });

  it('so does the level within its JSON', () => {
    const levels = [10, 20, 30, 40, 50, 60, 3, '"error"', '"WARN"', '"info"', '"debug"', '"odd"', 'null'];
    const tagged = lines(levels.map((level) => `{"level":${level}}\n`).join(''), { ...json, journal: true }, 'stderr');
    assert.deepEqual(
      tagged.map((line) => line[1]),
      ['7', '7', '6', '4', '3', '2', '3', '3', '4', '6', '7', '4', '4'],
    );
  });
});
