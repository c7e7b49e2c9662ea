import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { editDistance, suggestion } from '#src/base/suggestion.js';
import { settingOptions, yargsOptions } from '#src/config/options.js';
import { keysAt, settingsJsonSchema } from '#src/config/settings-schema.js';

interface JsonSchema {
  type?: string;
  description?: string;
  default?: unknown;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | boolean;
  anyOf?: JsonSchema[];
  required?: string[];
}
const schema = settingsJsonSchema() as JsonSchema;
const service = schema.properties?.services?.additionalProperties as JsonSchema;

test('every key of the JSON Schema is described, and no object takes unknown keys', () => {
  const undescribed = (at: JsonSchema, path: string): string[] =>
    Object.entries(at.properties ?? {}).flatMap(([key, inner]) => [
      ...(inner.description === undefined ? [`${path}${key}`] : []),
      ...undescribed(inner, `${path}${key}.`),
    ]);
  assert.deepEqual(undescribed(schema, ''), []);
  assert.deepEqual(undescribed(service, 'services.*.'), []);
  assert.equal(schema.additionalProperties, false);
  assert.equal(service.additionalProperties, false);
  assert.deepEqual(service.required, ['script']);
});

test('durations and their defaults are in the JSON Schema as people write them', () => {
  assert.deepEqual(
    schema.properties?.drainTimeout?.anyOf?.map(({ type }) => type),
    ['number', 'string'],
  );
  assert.equal(schema.properties?.drainTimeout?.default, '30s');
  assert.equal(service.properties?.killGrace?.default, '5s');
});

test('each option of the command line has a key in the schema', () => {
  for (const { path, flag } of settingOptions) {
    const steps = (path ?? '').split('.');
    const key = steps.at(-1) ?? '';
    const place = steps.slice(0, -1).map((step) => (step === '*' ? 'any' : step));
    assert.ok(keysAt(place).includes(key), `--${flag}: ${path}`);
  }
});

test('flags, variables and keys are one name in three spellings', () => {
  const found = settingOptions.find(({ path }) => path === 'drainTimeout');
  assert.equal(found?.flag, 'drain-timeout');
  assert.equal(found?.variable, 'MOTYA_DRAIN_TIMEOUT');
  assert.deepEqual(Object.keys(yargsOptions(['config', 'log-level'])), ['config', 'log-level']);
  assert.equal(new Set(settingOptions.map(({ flag }) => flag)).size, settingOptions.length);
});

test('edit distance: nothing for the same, one for one slip, and the same both ways', () => {
  const word = fc.stringMatching(/^[a-z]{1,12}$/);
  fc.assert(fc.property(word, (a) => editDistance(a, a) === 0));
  fc.assert(
    fc.property(word, word, (a, b) => editDistance(a, b) === editDistance(b, a) && (a === b || editDistance(a, b) > 0)),
  );
  fc.assert(
    fc.property(word, fc.nat(12), (a, at) => {
      const place = at % a.length;
      assert.equal(editDistance(a, a.slice(0, place) + a.slice(place + 1)), 1);
      assert.equal(editDistance(a, `${a.slice(0, place)}#${a.slice(place)}`), 1);
      const swapped = a.slice(0, place) + (a[place + 1] ?? '') + a[place] + a.slice(place + 2);
      assert.ok(editDistance(a, swapped) <= 1);
    }),
  );
});

test('only a likely name is suggested', () => {
  const names = ['script', 'workers', 'ready'];
  assert.equal(suggestion('wrokers', names), '; did you mean "workers"?');
  assert.equal(suggestion('Script', names), '; did you mean "script"?');
  assert.equal(suggestion('port', names), '');
});
