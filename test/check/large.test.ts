// timeout: 300
// A million events are judged in under 20 s of processor time and 500 MiB.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { costOf, grow } from './bench.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'large-'));
test.after(() => rmSync(dir, { recursive: true, force: true }));

if (!existsSync(join(root, 'dist/cli.js'))) test.skip('not built: npm run build', () => undefined);
else
  test('a million events', () => {
    const trace = join(dir, 'large.vrr');
    const events = grow(join(root, 'traces/golden/v3/qemu-7.2-v1-source.vrr'), trace, 1_000_000);
    assert.ok(events >= 1_000_000);
    for (const args of [
      ['check', trace],
      ['diff', trace, trace],
    ]) {
      const { seconds, mebibytes } = costOf(args);
      assert.ok(mebibytes < 500, `${args[0]}: ${mebibytes} MiB`);
      assert.ok(seconds < 20, `${args[0]}: ${seconds} s`);
      console.log(`${args[0]} of ${events} events: ${seconds.toFixed(1)} s, ${mebibytes.toFixed(0)} MiB`);
    }
  });

test.run();
