// A script as the lines that script.c reads, and what each call is to give.

import { errnoNumber } from '../../schema/errno.ts';
import { argumentOf } from './argument.ts';
import type { Act, Lie } from './scenario.ts';

const REGION_SHIFT = 40n; // VFIO_PCI_OFFSET_SHIFT

export interface Line {
  readonly text: string;
  /** Errno that the call fails with, 0 none; null: no call, or one that hangs. */
  readonly errno: number | null;
}

const hex = (b: Buffer): string => b.toString('hex');
const place = (region: number, at: number): bigint => (BigInt(region) << REGION_SHIFT) + BigInt(at);

function lieText(lie: Lie): string {
  switch (lie.kind) {
    case 'set':
    case 'memory':
      return `lie ${lie.kind} ${lie.at} ${hex(lie.bytes)}`;
    case 'errno':
      return `lie errno ${errnoNumber(lie.errno)}`;
    case 'ok':
      return `lie ok ${lie.ret}${lie.bytes ? ` ${hex(lie.bytes)}` : ''}`;
    case 'hang':
      return 'lie hang';
    default:
      return lie satisfies never;
  }
}

function ioctlText(act: Extract<Act, { act: 'ioctl' }>): string {
  const arg = argumentOf(act);
  const head = `ioctl ${act.fd} 0x${arg.request.toString(16)}`;
  if (arg.call.arg.kind === 'none') return `${head} none`;
  if (arg.call.arg.kind === 'value' || !arg.bytes) return `${head} value ${arg.value}`;
  const places = arg.places.map(({ at, value }) =>
    value.ref === 'fd' ? ` fd ${at} ${value.name}` : ` address${value.offset} ${at} ${value.name}`,
  );
  const STATE_FD = 12; // of struct vfio_device_feature with vfio_device_feature_mig_state
  const made = act.as ? ` made ${arg.call.makes?.at === 'ret' ? 'ret' : STATE_FD} ${act.as}` : '';
  return `${head} bytes ${hex(arg.bytes)}${places.join('')}${made}`;
}

function numberHex(value: bigint, length: number): string {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt.asUintN(64, value));
  return hex(b.subarray(0, length));
}

function textOf(act: Act): string {
  switch (act.act) {
    case 'open':
      return `open ${act.as} ${act.path}`;
    case 'close':
      return `close ${act.fd}`;
    case 'ioctl':
      return ioctlText(act);
    case 'pread':
      return `pread ${act.fd} ${place(act.region, act.at)} ${act.length}${act.keep ? ` ${act.keep}` : ''}`;
    case 'pwrite': {
      const { value = 0n } = act;
      const bytes =
        typeof value === 'string'
          ? `kept ${value}`
          : typeof value === 'bigint'
            ? numberHex(value, act.length)
            : hex(value);
      return `pwrite ${act.fd} ${place(act.region, act.at)} ${act.length} ${bytes}`;
    }
    case 'read':
      return `read ${act.fd} ${act.length}${act.keep ? ` ${act.keep}` : ''}`;
    case 'write':
      return `write ${act.fd} 0 ${typeof act.bytes === 'string' ? `kept ${act.bytes}` : hex(act.bytes)}`;
    case 'mmap':
      return `mmap ${act.fd} ${act.as} ${place(act.region, act.at)} ${act.length} ${act.private ? 'private' : 'shared'}`;
    case 'munmap':
      return `munmap ${act.name}`;
    case 'load':
      return `load ${act.name} ${act.at}`;
    case 'memory':
      return `memory ${act.as} ${act.size}${act.bytes ? ` ${hex(act.bytes)}` : ''}`;
    case 'fill':
      return `fill ${act.name} ${hex(act.bytes)}`;
    case 'eventfd':
      return `eventfd ${act.as}`;
    case 'signal':
      return `signal ${act.fd}`;
    default:
      return act satisfies never;
  }
}

const noCall: ReadonlySet<Act['act']> = new Set(['memory', 'fill', 'signal']);

export function linesOf(acts: readonly Act[]): Line[] {
  return acts.flatMap((act): Line[] => {
    const lie = 'lie' in act ? act.lie : undefined;
    const fails = 'fails' in act && act.fails ? (errnoNumber(act.fails) as number) : 0;
    const line = { text: textOf(act), errno: noCall.has(act.act) || lie?.kind === 'hang' ? null : fails };
    return lie ? [{ text: lieText(lie), errno: null }, line] : [line];
  });
}

/** What the program printed against what was expected: the first that differs, undefined none. */
export function unexpected(lines: readonly Line[], printed: string): string | undefined {
  const results = new Map(printed.split('\n').map((l) => [Number(l.split(' ')[0]), l.split(' ').slice(1)]));
  for (const [i, line] of lines.entries()) {
    if (line.errno === null) continue;
    const [ret, errno] = results.get(i + 1) ?? [];
    if (ret === undefined) return `line ${i + 1} (${line.text.slice(0, 200)}) was not reached`;
    if (Number(errno) !== line.errno)
      return `line ${i + 1} (${line.text.slice(0, 200)}): ${ret}, errno ${errno}, not ${line.errno}`;
  }
  return undefined;
}
