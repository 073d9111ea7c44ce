import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { request } from '../../schema/call.ts';
import { features, migrationFlags, migStates } from '../../schema/features.ts';
import { calls } from '../../schema/surface.ts';
import { inTemporary } from '../traces/make.ts';
import { compile, root } from './compiler.ts';

/** Defined in the headers and not in schema/, with the reason. */
const excluded: Readonly<Record<string, string>> = {};

const read = (name: string): string =>
  readFileSync(join(root, 'native/uapi/linux', name), 'utf8')
    .replaceAll('\\\n', ' ')
    .replace(/\/\*.*?\*\//gs, '');
const headers = read('vfio.h') + read('iommufd.h');
const defined = [...headers.matchAll(/^#\s*define\s+(\w+)\s+_IO[RW]*\(/gm)].map((m) => m[1] ?? '');

test('the headers have calls', () => assert.ok(defined.length > 50, `${defined.length}`));

test('every call of the headers is in schema/, or excluded for a reason', () => {
  const known = new Set(calls.map((c) => c.name));
  assert.equal(
    defined.filter((name) => !known.has(name) && !(name in excluded)),
    [],
  );
});

test('every call of schema/ is in the headers', () =>
  assert.equal(
    calls.map((c) => c.name).filter((name) => !defined.includes(name)),
    [],
  ));

test('every feature of the headers is in schema/', () => {
  const inHeader = [...headers.matchAll(/^#\s*define\s+VFIO_DEVICE_FEATURE_(\w+)\s+\(?(\d+)\)?\s*$/gm)].map((m) => [
    m[1],
    Number(m[2]),
  ]);
  assert.ok(inHeader.length >= 13, `${inHeader.length}`);
  // Values of the field `op` of BUS_MASTER.
  const values = ['CLEAR_MASTER', 'SET_MASTER'];
  assert.equal(
    inHeader.filter(([name]) => !values.includes(String(name))),
    features.map((f) => [f.name, f.id]),
  );
});

test('every migration state and flag of the headers is in schema/', () => {
  const states = [...headers.matchAll(/^\s*VFIO_DEVICE_STATE_(\w+)\s*=\s*(\d+)/gm)].map((m) => [m[1], Number(m[2])]);
  assert.equal(states, Object.entries(migStates));
  const flags = [...headers.matchAll(/^#\s*define\s+VFIO_MIGRATION_(\w+)\s+\(1 << (\d)\)/gm)].map((m) => [
    m[1],
    1 << Number(m[2]),
  ]);
  assert.equal(flags, Object.entries(migrationFlags));
});

test('a pair of (kind, request) names one call', () => {
  const seen = new Set<string>();
  for (const c of calls) {
    const key = `${c.kind}:${c.nr}`;
    assert.not(seen.has(key), key);
    seen.add(key);
  }
});

test('request numbers are what the compiler makes of the headers', () =>
  inTemporary((dir) => {
    const lines = calls.map((c) => `printf("%u\\n", (unsigned)${c.name});`).join('\n');
    const source = `#include <stdio.h>\n#include <linux/vfio.h>\n#include <linux/iommufd.h>\nint main(void) {\n${lines}\n}`;
    const program = join(dir, 'numbers');
    assert.is(compile(dir, source, program), '');
    const numbers = execFileSync(program, { encoding: 'utf8' }).trim().split('\n').map(Number);
    assert.equal(
      calls.map((c) => request(c.nr)),
      numbers,
    );
  }));

test.run();
