// The scenarios of traces/golden/README.md, recorded once, come out on the emulator as they did then.

import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import { equal, is } from 'uvu/assert';
import { openEmulator } from '../../replayer/emulator/target.ts';
import { samePlaces } from '../../replayer/places.ts';
import { replay } from '../../replayer/replay.ts';
import { openTrace } from '../../traces/trace.ts';

const test = suite('golden scenarios');

/** `profile`: the device that the trace was recorded on, where its own description does not tell. */
async function divergences(name: string, profile?: string): Promise<number[]> {
  const trace = openTrace(fileURLToPath(new URL(`../../traces/golden/v1/${name}.vrr`, import.meta.url)));
  try {
    const target = await openEmulator(profile, trace);
    const verdict = await replay({
      ...{ trace, target, places: samePlaces(trace, new Map()), until: Number.MAX_SAFE_INTEGER, speed: 'fast' },
      ...{ masks: [], raw: false, patience: 100, settle: 0, stop: false },
    });
    return verdict.divergences.map((d) => d.event);
  } finally {
    trace.close();
  }
}

for (const order of ['v2', 'v3', 'reply', 'derived']) {
  test(`v1 states, ${order}`, async () => {
    equal(await divergences(`v1-states-${order}`, `v1-ndma,precedence=${order}`), []);
  });
  for (const buffer of ['shared', 'separate'])
    test(`RESUMING to SAVING, ${order}, ${buffer}`, async () => {
      const profile = `v1-edu,precedence=${order},buffer=${buffer}`;
      equal(await divergences(`v1-resume-save-${order}-${buffer}`, profile), []);
    });
}
for (const name of [
  'dirty-pinned',
  'dirty-mdev',
  'v2-states-stop-copy',
  'v2-states-p2p',
  'v2-states-pre-copy',
  'v2-states-full',
])
  test(name, async () => {
    equal(await divergences(name), []);
  });
// What their DMA moves is not in a trace, so their devices answer as they did then.
for (const name of ['v1-peer-dma-none', 'v1-peer-dma-ndma', 'v1-peer-dma-ccw', 'two-containers'])
  test(name, async () => {
    equal(await divergences(name, 'recorded'), []);
  });

test('what the trace does not tell is told by the profile', async () => {
  equal(await divergences('v1-resume-save-v3-checked', 'v1-edu,precedence=v3,intermediate=checked'), []);
  is((await divergences('v1-states-v3', 'v1-ndma,precedence=derived')).length > 0, true, 'another order is noticed');
});
test.run();
