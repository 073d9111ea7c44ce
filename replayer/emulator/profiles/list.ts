// Every built-in profile by name.

import { TraceError } from '../../../schema/errors.ts';
import { precedences } from '../../../schema/states-v1.ts';
import { EDU_SAVED } from '../edu.ts';
import { longestRecord } from '../image.ts';
import type { PciProfile, Profile } from '../profile.ts';
import { e1000 } from './e1000.ts';
import { edu } from './edu.ts';
import * as migratable from './migratable.ts';
import { serial, serial1 } from './serial.ts';

export const profiles: Readonly<Record<string, Profile>> = {
  edu,
  e1000,
  serial,
  serial1,
  'v1-edu': migratable.v1Edu,
  'v1-ndma': migratable.v1Ndma,
  'v1-noop': migratable.v1Noop,
  'v1-mmap': migratable.v1Mmap,
  'v1-sparse': migratable.v1Sparse,
  'v1-churn': migratable.v1Churn,
  'v2-stop-copy': migratable.v2StopCopy,
  'v2-p2p': migratable.v2P2p,
  'v2-pre-copy': migratable.v2PreCopy,
  'v2-full': migratable.v2Full,
  'v2-churn': migratable.v2Churn,
  'v2-zero': migratable.v2Zero,
};

const choices: Readonly<Record<string, readonly string[]>> = {
  precedence: Object.keys(precedences),
  buffer: ['shared', 'separate'],
  ndma: ['supported', 'absent', 'noop'],
  intermediate: ['ignored', 'checked'],
  data: ['trapped', 'mmapped', 'sparse'],
  temporaryEnd: ['0', 'ENOMSG'],
};
const numbers = ['dataSize', 'churn', 'flags'];

/**
 * The profile that NAME[,OPTION=VALUE]… means: `v1-edu,precedence=v3,buffer=shared`. Options are fields of the profile's
 * migration, and `latency`, `memory` and `physical` of the device.
 */
export function profileOf(text: string): Profile {
  const [name = '', ...options] = text.split(',');
  const base = profiles[name];
  if (!base)
    throw new TraceError(
      'USAGE',
      `no emulated device is called '${name}'; there are ${Object.keys(profiles).join(', ')}`,
    );
  return options.reduce((profile, option) => withOption(profile, option), base);
}

function withOption(profile: Profile, option: string): Profile {
  const [key = '', value = ''] = option.split('=');
  const wrong = (what: string): TraceError => new TraceError('USAGE', `device option '${option}': ${what}`);
  if (profile.driver !== 'pci') throw wrong('this device has no options');
  if (key === 'latency' || key === 'physical') {
    if (key === 'latency' && !/^\d+$/.test(value)) throw wrong('a number of nanoseconds is needed');
    if (key === 'physical' && value !== 'true' && value !== 'false') throw wrong('true or false is needed');
    return { ...profile, [key]: key === 'latency' ? Number(value) : value === 'true' };
  }
  if (key === 'memory') {
    const resized = withMemory(profile, Number(value));
    if (!resized) throw wrong('a device with memory of its own takes a power of two from 4096 to 1 GiB');
    return resized;
  }
  const { migration } = profile;
  if (!migration || !(key in migration) || key === 'protocol') throw wrong('this device has no such option');
  if (numbers.includes(key) && !/^\d+$/.test(value)) throw wrong('a number is needed');
  const least = longestRecord(EDU_SAVED);
  if (key === 'dataSize' && Number(value) < least) throw wrong(`a segment does not fit: give ${least} or more`);
  const allowed = choices[key];
  if (allowed && !allowed.includes(value)) throw wrong(`it is one of ${allowed.join(', ')}`);
  return { ...profile, migration: { ...migration, [key]: numbers.includes(key) ? Number(value) : value } };
}

/** Null: it has no such BAR, or cannot have it in that size. */
function withMemory(profile: PciProfile, size: number): Profile | null {
  const { bars } = profile.pci;
  if (
    !bars.some((bar) => bar?.backing === 'ram') ||
    size < 4096 ||
    size > 1 << 30 ||
    !Number.isInteger(Math.log2(size))
  )
    return null;
  return {
    ...profile,
    pci: { ...profile.pci, bars: bars.map((bar) => (bar?.backing === 'ram' ? { ...bar, size } : bar)) },
  };
}
