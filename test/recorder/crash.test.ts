// timeout: 300
// SIGKILL of the program, the recorder, both, and a recovery under way: nothing lost, doubled or out of order. More points:
// npx tsx test/recorder/crash.ts 20

import * as assert from 'node:assert/strict';
import { test } from 'uvu';
import { prepare } from './build.ts';
import { crash, victims } from './crash.ts';

test.before(prepare);

for (const victim of victims)
  test(`SIGKILL: ${victim}`, async () => {
    for (const delay of [3, 25, 70]) {
      const p = await crash(victim, delay);
      assert.deepEqual([p.lost, p.doubled, p.reordered, p.integrity], [0, 0, 0, 'ok'], `after ${delay} ms`);
      assert.ok(p.events > 0);
    }
  });

test.run();
