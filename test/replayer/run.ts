// Replays a made-up trace on a scripted target.

import { join } from 'node:path';
import { samePlaces } from '../../replayer/places.ts';
import { type ReplayOptions, replay } from '../../replayer/replay.ts';
import type { Verdict } from '../../replayer/verdict.ts';
import { openTrace } from '../../traces/trace.ts';
import { inTemporary, TraceMaker } from '../traces/make.ts';
import type { Scripted } from './scripted.ts';

export interface Outcome {
  readonly verdict: Verdict;
  readonly target: Scripted;
}

export function run(
  make: (m: TraceMaker) => void,
  target: Scripted,
  options: Partial<ReplayOptions> = {},
): Promise<Outcome> {
  return inTemporary(async (dir) => {
    const path = join(dir, 'run.vrr');
    const maker = new TraceMaker(path);
    maker.meta('state', 'finished');
    make(maker);
    maker.finish();
    const trace = openTrace(path);
    try {
      const verdict = await replay({
        ...{ trace, target, places: samePlaces(trace, new Map()), until: Number.MAX_SAFE_INTEGER, speed: 'fast' },
        ...{ masks: [], raw: false, patience: 100, settle: 0, stop: false },
        ...options,
      });
      return { verdict, target };
    } finally {
      trace.close();
    }
  });
}

/** Handles 1 container, 2 group, 3 device with region 0 at 0 and region 7 at 7 << 40; fds 3, 4, 5. */
export function opened(m: TraceMaker): void {
  m.handle(1, 'container', { fd: 3, path: '/dev/vfio/vfio' }).handle(2, 'group', { fd: 4, path: '/dev/vfio/7' });
  m.handle(3, 'device', { fd: 5, name: '0000:00:04.0', parent: 2 }).region(3, 0).region(3, 7);
  const open = { op: 'open', fd: -1, a: 2 } as const;
  m.event({
    ...open,
    kind: 'container',
    ret: 3,
    input: text('/dev/vfio/vfio'),
    made: { handle: 1, kind: 'container' },
  });
  m.event({ ...open, kind: 'group', ret: 4, input: text('/dev/vfio/7'), made: { handle: 2, kind: 'group' } });
  m.event({
    ...{ name: 'VFIO_GROUP_GET_DEVICE_FD', handle: 2, fd: 4, ret: 5, input: text('0000:00:04.0') },
    made: { handle: 3, kind: 'device' },
  });
}
export const device = { handle: 3, fd: 5, kind: 'device' } as const;
const text = (s: string): Buffer => Buffer.from(`${s}\0`);
