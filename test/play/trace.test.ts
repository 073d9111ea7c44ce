// A trace answers the program that was recorded, and says what it cannot answer.
// timeout: 600

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { client, makeClients, vfioRr } from './run.ts';

const test = suite('play: a trace answers');
const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-test-'));
const MTTY = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1002';
const EDU = ['--emulate', 'edu:0000:00:04.0'];

test.before(makeClients);
test.after(() => rmSync(dir, { recursive: true, force: true }));

async function recorded(name: string, emulate = EDU, command = [client(name)]): Promise<{ path: string; out: string }> {
  const path = join(dir, `${name}.vrr`);
  const ran = await vfioRr(['play', ...emulate, '--record', path, '--force', '--dma', 'pages', '--', ...command]);
  assert.is(ran.code, 0, ran.err);
  return { path, out: ran.out };
}

async function again(name: string, emulate = EDU, command = [client(name)]): Promise<void> {
  const { path, out } = await recorded(name, emulate, command);
  const played = await vfioRr(['play', path, '--', ...command]);
  assert.is(played.out, out, played.err);
  assert.not.match(played.err, /no answer|out of order|not in the trace/);
  assert.is(played.code, 0);
}

for (const name of ['edu-group', 'edu-cdev', 'threads', 'fork', 'passfd', 'exec', 'spawn', 'errors', 'entries'])
  test(`${name}: the same bytes for the same calls, interrupts and DMA included`, () => again(name));
for (const way of ['group', 'cdev'])
  test(`mtty-migrate ${way}: the same migration data`, () =>
    again(`mtty-${way}`, ['--emulate', `serial:${MTTY}`], [client('mtty-migrate'), way, MTTY]));

test('register: what is read more often than recorded is answered again; strict: it is not', async () => {
  const path = join(dir, 'describe.vrr');
  const command = [client('describe'), 'group', '0000:00:04.0'];
  const first = await vfioRr(['play', ...EDU, '--record', path, '--', ...command]);
  assert.is(first.code, 0, first.err);
  const twice = ['--', 'sh', '-c', `${command.join(' ')}; ${command.join(' ')}`];
  const loose = await vfioRr(['play', path, '--match', 'register', ...twice], 30);
  assert.is(loose.out, first.out + first.out, loose.err);
  assert.is(loose.code, 0);
  const strict = await vfioRr(['play', path, ...twice], 30);
  assert.is.not(strict.out, first.out + first.out);
  assert.match(strict.err, /opened \/dev\/vfio\/vfio more often than the trace did/);
  assert.is.not(strict.code, 0);
});

test('another program: each miss names the nearest recorded calls and why not', async () => {
  const { path } = await recorded('edu-group');
  const other = await vfioRr(['play', path, '--', client('errors')], 30);
  assert.is(other.code, 1);
  assert.match(other.err, /VFIO_SET_IOMMU has no answer in the trace; nearest:/);
  assert.match(other.err, /argument: recorded 3, asked 1/);
  assert.match(other.err, /calls had no answer in the trace/);
});

test('another device: the trace says which it has', async () => {
  const { path } = await recorded('edu-group');
  const elsewhere = await vfioRr(['play', path, '--', client('edu-group'), '0000:00:07.0'], 30);
  assert.is(elsewhere.code, 1);
  assert.match(elsewhere.err, /made no call on a VFIO device: it looked for another than 0000:00:04\.0/);
  const other = await vfioRr(['play', path, '--', client('edu-cdev')], 30);
  assert.is(other.code, 1);
  assert.match(
    other.err,
    /asks for \/dev\/iommu, which is not in the trace \(it has: \/dev\/vfio\/vfio, \/dev\/vfio\/\d+\)/,
  );
});

test('without --dma=pages, what a device wrote by DMA is not in the trace, and that is said', async () => {
  const path = join(dir, 'no-dma.vrr');
  const ran = await vfioRr(['play', ...EDU, '--record', path, '--', client('edu-group')]);
  assert.is(ran.code, 0, ran.err);
  const played = await vfioRr(['play', path, '--', client('edu-group')], 30);
  assert.match(played.out, /wrong bytes after DMA/);
  assert.match(played.err, /what the device wrote there is not in the trace/);
});

test.run();
