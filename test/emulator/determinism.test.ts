// One trace, one result: alone, a hundred times, side by side and in processes of their own.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { equal, is } from 'uvu/assert';
import { replayTrace } from '../../replayer/run.ts';
import { vfioRr } from '../play/run.ts';
import { inTemporary } from '../traces/make.ts';

const test = suite('determinism');
const golden = (name: string): string => fileURLToPath(new URL(`../../traces/golden/v1/${name}.vrr`, import.meta.url));
const digest = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');

async function result(name: string, output: string): Promise<string> {
  const verdict = await replayTrace({
    ...{ path: golden(name), on: 'emulator', agent: undefined, maps: [], output, force: false, until: undefined },
    ...{ speed: 'fast', masks: [], raw: false, patience: 100, settle: 0, stop: false },
  });
  is(verdict.divergences.length, 0);
  return digest(output);
}

test('a hundred replays, ten at a time, give one result', () =>
  inTemporary(async (dir) => {
    const digests = new Set<string>();
    for (let round = 0; round < 10; round++) {
      const ten = Array.from({ length: 10 }, (_, i) => result('dirty-pinned', join(dir, `${round}-${i}.vrr`)));
      for (const d of await Promise.all(ten)) digests.add(d);
    }
    is(digests.size, 1);
  }));

test('processes side by side give the same as one alone', () =>
  inTemporary(async (dir) => {
    const name = 'v2-states-full';
    const alone = await result(name, join(dir, 'alone.vrr'));
    const outputs = [0, 1, 2].map((i) => join(dir, `${i}.vrr`));
    const runs = await Promise.all(outputs.map((o) => vfioRr(['replay', golden(name), '--on', 'emulator', '-o', o])));
    equal(
      runs.map((r) => r.code),
      [0, 0, 0],
    );
    equal(new Set(outputs.map(digest)), new Set([alone]));
  }));
test.run();
