// timeout: 180
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { environment, losses } from '../../schema/event.ts';
import { interposer, makeRing, prepare, program, runPlain, runRecorded, standin } from './run.ts';

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

for (const size of [0, 200_000, 3 << 20])
  test(`the ring file cut off to ${size} bytes underneath: the program goes on`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'vfio-rr-interposer-'));
    try {
      const path = makeRing(folder);
      const child = spawn(program, ['loop', 'pread', '3000000'], {
        env: { ...process.env, LD_PRELOAD: `${interposer}:${standin}`, [environment.ring]: path },
        timeout: 60_000,
        stdio: 'ignore',
      });
      const ended = new Promise((done) => child.on('exit', (code, signal) => done([code, signal])));
      await new Promise((done) => setTimeout(done, 100));
      assert.is(child.exitCode, null, 'cut off while it runs');
      truncateSync(path, size);
      assert.equal(await ended, [0, null]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

test.run();
