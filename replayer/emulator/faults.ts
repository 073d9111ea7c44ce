// Faults on demand. A rule says which call goes wrong, how, and which time round:
//
//   [DEVICE/]CALL[:WHAT]=EFFECT[@N | @N+ | @*]
//
// CALL: an ioctl's name (MAP_DMA, IOMMU_IOAS_MAP, DEVICE_FEATURE …), a feature's (MIG_DEVICE_STATE, DMA_LOGGING_START …),
// pread, pwrite, read, write, mmap, open, or what a device does: SET_STATE (one arc of a migration state change; WHAT is
// the state it goes to), IRQ (WHAT: INTX, MSI, MSIX, ERR, REQ), DMA (WHAT: read, write).
// WHAT of pread, pwrite and mmap: the region (BAR0 … BAR5, ROM, CONFIG, VGA, MIGRATION, a number), of open: the path.
// EFFECT: an errno's name; short:BYTES; delay:TIME (ns, us, ms, s); ERROR (the device goes to its error state and the
// call fails with EIO); lost (an interrupt, a DMA); late:TIME (an interrupt).
// @N: the Nth call that matches (@1 unless said), @N+: from the Nth on, @*: every one.

import { errnoNumber } from '../../schema/errno.ts';
import { TraceError } from '../../schema/errors.ts';

export type Effect =
  | { readonly kind: 'errno'; readonly errno: number }
  | { readonly kind: 'short'; readonly bytes: number }
  | { readonly kind: 'delay'; readonly ns: bigint }
  | { readonly kind: 'error' }
  | { readonly kind: 'lost' }
  | { readonly kind: 'late'; readonly ns: bigint };

interface Rule {
  readonly text: string;
  readonly device: string | null;
  readonly call: string;
  readonly what: string | null;
  readonly effect: Effect;
  readonly first: number;
  readonly last: number;
  met: number;
}

const units: Readonly<Record<string, bigint>> = { ns: 1n, us: 1000n, ms: 1_000_000n, s: 1_000_000_000n };
const SHAPE = /^(?:([^/=]+)\/)?([A-Za-z0-9_]+)(?::([^=]+))?=([A-Za-z0-9]+(?::[A-Za-z0-9]+)?)(?:@(\d+\+?|\*))?$/;

function effectOf(text: string, rule: string): Effect {
  const [word = '', value = ''] = text.split(':');
  const time = /^(\d+)(ns|us|ms|s)$/.exec(value);
  const ns = time ? BigInt(time[1] as string) * (units[time[2] as string] as bigint) : null;
  if (word === 'short' && /^\d+$/.test(value)) return { kind: 'short', bytes: Number(value) };
  if ((word === 'delay' || word === 'late') && ns !== null) return { kind: word, ns };
  if (word === 'ERROR' && !value) return { kind: 'error' };
  if (word === 'lost' && !value) return { kind: 'lost' };
  const errno = errnoNumber(word);
  if (errno !== undefined && !value) return { kind: 'errno', errno };
  throw new TraceError(
    'USAGE',
    `fault '${rule}': '${text}' is no effect; use an errno, short:BYTES, delay:TIME, late:TIME, lost or ERROR`,
  );
}

function parse(text: string): Rule {
  const m = SHAPE.exec(text);
  if (!m)
    throw new TraceError(
      'USAGE',
      `fault '${text}' is not [DEVICE/]CALL[:WHAT]=EFFECT[@N], as in SET_STATE:STOP_COPY=EIO@2`,
    );
  const times = m[5] ?? '1';
  const first = times === '*' ? 1 : Number.parseInt(times, 10);
  if (first < 1) throw new TraceError('USAGE', `fault '${text}': calls are counted from 1`);
  return {
    text,
    device: m[1] ?? null,
    call: (m[2] as string).toUpperCase(),
    what: m[3]?.toUpperCase() ?? null,
    effect: effectOf(m[4] as string, text),
    first,
    last: times === '*' || times.endsWith('+') ? Number.POSITIVE_INFINITY : first,
    met: 0,
  };
}

/** `VFIO_IOMMU_MAP_DMA` may be written IOMMU_MAP_DMA or MAP_DMA. */
const sameCall = (rule: string, name: string): boolean => name === rule || name.endsWith(`_${rule}`);

export class Faults {
  private readonly rules: Rule[];
  constructor(texts: readonly string[] = []) {
    this.rules = texts.map(parse);
  }
  get none(): boolean {
    return this.rules.length === 0;
  }

  /** Counts the call under each rule that it matches; the effect of the first rule whose turn it is. */
  take(call: string, what: readonly string[], device: string): Effect | null {
    let effect: Effect | null = null;
    for (const rule of this.rules) {
      if (!sameCall(rule.call, call.toUpperCase())) continue;
      if (rule.what !== null && !what.some((w) => w.toUpperCase() === rule.what)) continue;
      if (rule.device !== null && rule.device !== device) continue;
      rule.met++;
      if (rule.met >= rule.first && rule.met <= rule.last) effect ??= rule.effect;
    }
    return effect;
  }

  /** Rules whose turn never came. */
  get unmatched(): string[] {
    return this.rules.filter((r) => r.met < r.first).map((r) => r.text);
  }
}
