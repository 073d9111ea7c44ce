import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { header, proof } from '../../schema/generate.ts';
import { root } from './compiler.ts';

const committed = (name: string): string => readFileSync(join(root, 'native/generated', name), 'utf8');

test('native/generated/schema.h is what schema/ says', () =>
  assert.ok(committed('schema.h') === header(), 'run: npm run generate'));
test('native/generated/proof.c is what schema/ says', () =>
  assert.ok(committed('proof.c') === proof(), 'run: npm run generate'));

test.run();
