// Many threads that open, copy, pass and close a device of this kernel's, judged by what they counted themselves.
import { readdirSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

import { judgeCrowd, readCounted } from '../judge/crowd.ts';
import { bindAll, EDU } from './clients.ts';
import { type Job, Skip } from './job.ts';
import { expectWhole } from './record.ts';
import { recordItself } from './record-itself.ts';
import { expectStatus } from './run-program.ts';

const CROWD = 'test/recorder/build/crowd';
const THREADS = 64;
/** Under software emulation the recorder takes twenty times as long to take in what they say. */
const SECONDS = 0.5;

async function crowd(): Promise<void> {
  bindAll();
  const device = `/sys/bus/pci/devices/${EDU}`;
  const [cdev] = readdirSync(`${device}/vfio-dev`);
  if (cdev === undefined) throw new Skip('this kernel has no character devices for VFIO devices');
  const group = basename(readlinkSync(`${device}/iommu_group`));
  const trace = '/tmp/crowd.vrr';
  const argv: [string, ...string[]] = [
    CROWD,
    `${THREADS}`,
    `${SECONDS}`,
    `/dev/vfio/devices/${cdev}`,
    `/dev/vfio/${group}`,
  ];
  const ran = expectStatus('the crowd', await recordItself(trace, argv));
  const said = readCounted(ran.out);
  if ((said.counts['open 0'] ?? 0) < THREADS) throw new Error(`few opens succeeded: ${ran.out}`);
  judgeCrowd(trace, said);
  expectWhole(trace);
}

export const crowdJobs = (): Job[] => [
  { name: `${THREADS} threads open, copy, pass and close a device for ${SECONDS} s`, run: crowd },
];
