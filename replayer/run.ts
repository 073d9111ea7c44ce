// A trace replayed: from its path and the command's options to a verdict.

import { TraceError } from '../schema/errors.ts';
import { everything, parseRange } from '../traces/range.ts';
import { openTrace, type Trace } from '../traces/trace.ts';
import { openDevice } from './device.ts';
import { Host } from './host.ts';
import { findPlaces, type Places, parseMaps, samePlaces } from './places.ts';
import { type ReplayOptions, replay } from './replay.ts';
import { createResult, refuseExisting } from './result.ts';
import type { Target } from './target.ts';
import type { Verdict } from './verdict.ts';

/** Of the command's options those that the replay itself takes are its own. */
export interface ReplayCommand extends Pick<ReplayOptions, 'speed' | 'masks' | 'raw' | 'patience' | 'settle' | 'stop'> {
  readonly path: string;
  /** device, emulator or emulator:PROFILE. */
  readonly on: string;
  readonly agent: string | undefined;
  readonly maps: readonly string[];
  readonly output: string | undefined;
  readonly force: boolean;
  /** A range, whose first event is the last one that is made. */
  readonly until: string | undefined;
}

/** Loaded only when it is asked for. */
async function openEmulator(profile: string | undefined, trace: Trace): Promise<Target> {
  const emulator = await import('./emulator/target.ts');
  return emulator.openEmulator(profile, trace);
}

async function openTarget(c: ReplayCommand, trace: Trace): Promise<{ target: Target; hosted: boolean }> {
  if (c.on === 'device') return { target: await openDevice({ agent: c.agent }), hosted: true };
  const [, profile] = /^emulator(?::(.+))?$/.exec(c.on) ?? [null, null];
  if (profile === null)
    throw new TraceError('USAGE', `--on ${c.on}: a trace is replayed on device or emulator[:PROFILE]`);
  if (c.agent !== undefined) throw new TraceError('USAGE', '--agent goes with --on device');
  return { target: await openEmulator(profile, trace), hosted: false };
}

/** Last event to replay: the first one that matches. */
function lastEvent(trace: Trace, until: string | undefined): number {
  if (until === undefined) return everything.last;
  const range = parseRange(until.split(/\s+/));
  for (const e of trace.events(range)) return e.id;
  throw new TraceError('USAGE', `--until ${until}: no event of the trace matches`);
}

/** Replays a trace as the command does, and gives the verdict; the target is gone afterwards. */
export async function replayTrace(
  c: ReplayCommand,
  progress?: (done: number, total: number) => void,
): Promise<Verdict> {
  const map = parseMaps(c.maps);
  if (c.output !== undefined) refuseExisting(c.output, c.force);
  const trace = openTrace(c.path);
  try {
    const until = lastEvent(trace, c.until);
    const { target, hosted } = await openTarget(c, trace);
    try {
      const places: Places = hosted ? await findPlaces(trace, new Host(target), map) : samePlaces(trace, map);
      const result = c.output === undefined ? null : createResult(trace, c.output);
      const total = Math.min(trace.count(), until);
      try {
        const verdict = await replay({
          ...{ trace, target, places, until, speed: c.speed, masks: c.masks, raw: c.raw, stop: c.stop },
          ...{ patience: c.patience, settle: c.settle },
          ...(result
            ? { seen: (expected, actual, dur) => result.add(expected, actual, dur), notes: result.notes }
            : {}),
          ...(progress ? { progress: (done) => progress(done, total) } : {}),
        });
        result?.finish(verdict);
        return verdict;
      } catch (error) {
        result?.abandon();
        throw error;
      }
    } finally {
      await target.close();
    }
  } finally {
    trace.close();
  }
}
