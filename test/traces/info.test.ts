import { join } from 'node:path';
import { Encoder } from 'cbor-x';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { info } from '../../traces/info.ts';
import { listen } from './io.ts';
import { inTemporary, TraceMaker } from './make.ts';
import { sample } from './sample.ts';

test('what is missing comes first', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const io = listen();
    info({ path, json: false }, io);
    assert.match(io.stdout(), /^NOT COMPLETE:\n {2}1 MAPPED: BAR2 of 0000:00:04\.0\n/);
    assert.match(io.stdout(), /unknown: 0x3b7f on device, 1 times/);
  }));

test('counts add up', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    sample(path);
    const io = listen();
    info({ path, json: true }, io);
    const found = JSON.parse(io.stdout());
    assert.is(found.events, 32);
    assert.is(found.decoded + found.raw + found.unknown[0].calls, 19); // ioctls of the sample
    assert.is(found.regionAccesses, 7);
    assert.is(found.failed, 4);
    assert.is(found.unfinished, 1);
    assert.equal(
      found.devices.filter((d: { kind: string }) => d.kind === 'device').map((d: { calls: number }) => d.calls),
      [12, 5],
    );
  }));

test('host context is shown', () =>
  inTemporary((dir) => {
    const path = join(dir, 'a.vrr');
    const m = new TraceMaker(path);
    const cbor = new Encoder({ useRecords: false }).encode({ uname: 'Linux 6.12', iommu: { groups: 4 } });
    m.db.prepare('INSERT INTO context VALUES (?, ?)').run('host', cbor);
    m.finish();
    const io = listen();
    info({ path, json: false }, io);
    assert.match(io.stdout(), 'host\n  uname: Linux 6.12\n  iommu:\n    groups: 4\n');
    assert.match(io.stdout(), 'nothing lost');
  }));

test.run();
