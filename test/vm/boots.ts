// Which kernels are booted, with which devices, for which groups of tests.

export interface Boot {
  name: string;
  /** For boot.sh -k. */
  kernel: string;
  qemu: string;
  groups: string[];
  seconds: number;
  env?: Record<string, string>;
}

const TWO_EDUS = '-device edu,addr=05.0';
const EDUS_E1000E = `${TWO_EDUS} -device e1000e,addr=06.0,romfile=`;

export const boots: Boot[] = [
  { name: 'lab', kernel: 'lab', qemu: TWO_EDUS, groups: ['clients', 'seccomp'], seconds: 900 },
  { name: 'debian-6.1', kernel: '6.1', qemu: EDUS_E1000E, groups: ['across', 'brief'], seconds: 600 },
  { name: 'debian-7.2', kernel: '7.2', qemu: EDUS_E1000E, groups: ['across', 'brief'], seconds: 600 },
  {
    name: 'lab-programs',
    kernel: 'lab',
    qemu: `${TWO_EDUS} -device e1000,addr=06.0,romfile=`,
    groups: ['programs'],
    seconds: 600,
  },
  { name: 'lab-sanitizers', kernel: 'lab', qemu: TWO_EDUS, groups: ['sanitizers'], seconds: 900 },
  { name: 'lab-kill', kernel: 'lab', qemu: TWO_EDUS, groups: ['kill'], seconds: 1200, env: { SMP: '2' } },
];
