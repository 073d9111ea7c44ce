// A trace recorded with --dma=pages, played back: what the device wrote by DMA is in the program's memory again.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { client, makeClients, vfioRr } from './run.ts';

const test = suite('play: DMA of a trace');
const address = '0000:00:04.0';
let folder = '';
test.before(() => {
  makeClients();
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-play-dma-'));
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

test('the program’s output is the recorded one, with what DMA brought; without pages it is not', async () => {
  const path = (dma: string): string => join(folder, `${dma}.vrr`);
  const out = async (...args: string[]): Promise<string> =>
    (await vfioRr(['play', ...args, '--', client('edu-group'), address])).out;
  const recorded = (dma: string): Promise<string> =>
    out('--emulate', `edu:${address}`, '--record', path(dma), '--dma', dma);
  const pages = await recorded('pages');
  assert.match(pages, /wrong bytes after DMA there and back: 0$/m);
  assert.is(await recorded('none'), pages);
  assert.is(await out(path('pages')), pages);
  assert.match(await out(path('none')), /wrong bytes after DMA there and back: 0x[0-9a-f]+ \(wanted 0\)/);
  const replayed = await vfioRr(['replay', path('pages'), '--on', 'emulator']);
  assert.is(replayed.code, 0, replayed.out);
  const same = await vfioRr(['diff', path('pages'), path('none')]);
  assert.is(same.code, 0, same.out);
  assert.is((await vfioRr(['check', path('pages')])).code, (await vfioRr(['check', path('none')])).code);
});

test.run();
