import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compiler, countInstructions, keptInstructions, totals, whyNotCounted } from './instructions.ts';

/** More than a change of alignment or of register allocation makes, less than a call that came in between. */
const TOLERANCE = 0.04;

const kept = keptInstructions();
const reason =
  whyNotCounted() ??
  (compiler() === kept.compiler ? null : `the counts are of ${kept.compiler}, this is ${compiler()}`);
if (reason) {
  console.log(`SKIP instructions a recorded call: ${reason}`);
  process.exit(77);
}

test('a recorded call takes no more instructions than it did: npm run bench -- --update-instructions renews them', () => {
  const now = totals(countInstructions());
  assert.equal(Object.keys(now), Object.keys(kept.calls));
  const grown = Object.entries(now).filter(([sort, n]) => n > (kept.calls[sort] ?? 0) * (1 + TOLERANCE));
  assert.equal(
    grown.map(([sort, n]) => `${sort}: ${n}, kept ${kept.calls[sort]}`),
    [],
  );
});

test.run();
