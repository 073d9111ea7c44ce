// timeout: 180
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { losses } from '../../schema/event.ts';
import { prepare, program, runPlain, runRecorded } from './run.ts';

prepare();

test('no segment comes and nobody drains: the program goes on, what is missing is counted', () => {
  const { status, ring } = runRecorded(['threads'], { segmentSize: 1 << 14, given: 8 });
  assert.is(status, 0);
  const kept = ring.calls.filter((c) => c.op === 'pread').length;
  assert.ok(kept > 1000 && kept < 80_000);
  assert.is(kept + (ring.lost[losses.QUOTA] ?? 0), 80_000);
});

test('no ring, or one that is none: everything passes through', () => {
  const plain = runPlain(['basic']);
  for (const path of ['/nowhere/ring', program, '']) {
    const { stdout, status, ring } = runRecorded(['basic'], { environment: { VFIO_RR_RING: path } });
    assert.equal([stdout, status], [plain.stdout, plain.status]);
    assert.is(ring.calls.length, 0);
  }
});

test.run();
