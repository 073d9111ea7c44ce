// Which kernels are booted, with which devices, for which groups of tests.
import { recordPlayed } from './played.ts';

export interface Boot {
  name: string;
  /** For boot.sh -k. */
  kernel: string;
  qemu: string;
  groups: string[];
  seconds: number;
  env?: Record<string, string>;
  /** On this machine, before the boot; what it writes to `out` the guest finds there. */
  before?: (out: string) => void;
}

const TWO_EDUS = '-device edu,addr=05.0';
const EDUS_E1000E = `${TWO_EDUS} -device e1000e,addr=06.0,romfile=`;

/** The longest first, so that nothing else waits for it in the end. */
export const boots: Boot[] = [
  { name: 'lab-kill', kernel: 'lab', qemu: TWO_EDUS, groups: ['kill', 'crowd'], seconds: 1200, env: { SMP: '2' } },
  { name: 'lab', kernel: 'lab', qemu: TWO_EDUS, groups: ['clients', 'seccomp'], seconds: 900 },
  { name: 'debian-6.1', kernel: '6.1', qemu: EDUS_E1000E, groups: ['across', 'brief'], seconds: 600 },
  { name: 'debian-7.2', kernel: '7.2', qemu: EDUS_E1000E, groups: ['across', 'brief'], seconds: 600 },
  { name: 'lab-played', kernel: 'lab', qemu: TWO_EDUS, groups: ['played'], seconds: 600, before: recordPlayed },
  {
    name: 'lab-programs',
    kernel: 'lab',
    qemu: `${TWO_EDUS} -device e1000,addr=06.0,romfile=`,
    groups: ['programs'],
    seconds: 600,
  },
  { name: 'lab-variants', kernel: 'lab', qemu: TWO_EDUS, groups: ['variants'], seconds: 600 },
  { name: 'lab-sanitizers', kernel: 'lab', qemu: TWO_EDUS, groups: ['sanitizers'], seconds: 900 },
];
