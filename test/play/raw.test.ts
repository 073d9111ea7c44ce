// The clients with system call instructions of their own: what is recorded of them is what is of the ordinary ones.
// timeout: 300

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { client, makeClients, vfioRr } from './run.ts';

const test = suite('play: raw clients');
const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-raw-'));
test.before(makeClients);
test.after(() => rmSync(dir, { recursive: true, force: true }));

/** What it printed, and its calls without addresses and times; of several threads without their order. */
async function recorded(program: string, ordered: boolean): Promise<{ out: string; calls: unknown[] }> {
  const path = join(dir, 'run.vrr');
  const played = ['play', '--emulate', 'edu:0000:00:04.0', '--record', path, '--force'];
  const ran = await vfioRr([...played, '--', program]);
  assert.is(ran.code, 0, ran.err);
  const trace = new Database(path, { readonly: true });
  try {
    const calls = trace
      .prepare(
        `SELECT name, kind, fd, device, region, length, error, iif(name IN ('pread', 'pwrite'), offset, 0), value
         FROM call WHERE name <> 'process' ORDER BY ${ordered ? 'id' : '1, 2, 3, 4, 5, 6, 7, 8, 9'}`,
      )
      .raw()
      .all();
    assert.equal(trace.prepare("SELECT what FROM loss WHERE what <> 'eventfd'").all(), []);
    return { out: ran.out, calls };
  } finally {
    trace.close();
  }
}

for (const name of ['edu-cdev', 'errors', 'fork', 'passfd', 'threads'])
  test(name, async () => {
    const ordered = name.startsWith('e');
    const ordinary = await recorded(client(name), ordered);
    const raw = await recorded(client(`raw/${name}`), ordered);
    assert.is(raw.out, ordinary.out);
    assert.ok(raw.calls.length > 50);
    assert.equal(raw.calls, ordinary.calls);
  });

test.run();
