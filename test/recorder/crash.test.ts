// timeout: 400
// SIGKILL of the program, the recorder, both, and a recovery under way, at 300 random points: nothing lost, doubled, out
// of order or spoilt. More of them: npm run test:crash -- 1000

import * as assert from 'node:assert/strict';
import { test } from 'uvu';
import { crashes, isGood, prepareCrash, victims } from './crash.ts';

const POINTS = 300;
const seed = Date.now() % 2 ** 31;

test.before(prepareCrash);

for (const victim of victims)
  test(`SIGKILL: ${victim} (npm run test:crash -- ${POINTS} ${seed})`, async () => {
    const all = await crashes(victim, POINTS / victims.length, seed);
    assert.deepEqual(
      all.filter((p) => !isGood(p)).map(({ kill: _, ...p }) => p),
      [],
    );
    assert.ok(all.some((p) => p.unfinished > 0) || victim === 'recorder' || victim === 'recovery');
    assert.ok(all.reduce((n, p) => n + p.events, 0) > 1000);
  });

test.run();
