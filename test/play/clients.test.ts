// Unmodified programs on the emulator print what they print on a real kernel (kernel-6.12/make.sh).
// timeout: 300

import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { client, makeClients, vfioRr } from './run.ts';

const test = suite('play: clients on the emulator as on a kernel');
const MTTY = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1002';
const onKernel = (name: string): string => readFileSync(new URL(`kernel-6.12/${name}.txt`, import.meta.url), 'utf8');

test.before(makeClients);

for (const name of ['edu-group', 'edu-cdev', 'threads', 'fork', 'passfd', 'exec', 'spawn', 'errors', 'entries']) {
  test(name, async () => {
    const ran = await vfioRr(['play', '--emulate', 'edu:0000:00:04.0', '--', client(name)]);
    assert.is(ran.out, onKernel(name), ran.err);
    assert.is(ran.code, 0);
  });
}
for (const way of ['group', 'cdev']) {
  test(`mtty-migrate ${way}`, async () => {
    const ran = await vfioRr(['play', '--emulate', `serial:${MTTY}`, '--', client('mtty-migrate'), way, MTTY]);
    assert.is(ran.out, onKernel(`mtty-${way}`), ran.err);
    assert.is(ran.code, 0);
  });
}

test.run();
