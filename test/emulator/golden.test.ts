// Golden traces replayed on a device that differs from theirs: that they notice. (`vfio-rr test` replays them on their own.)

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

test('another device than the recorded one is noticed', async () => {
  equal(await divergences('v1-states-v3', 'v1-ndma,precedence=v3'), []);
  is((await divergences('v1-states-v3', 'v1-ndma,precedence=derived')).length > 0, true, 'another order');
});
test.run();
