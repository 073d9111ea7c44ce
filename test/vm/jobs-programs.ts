// Programs that others wrote, recorded call for call.
import { existsSync } from 'node:fs';

import Database from 'better-sqlite3';

import { bindAll, EDU } from './clients.ts';
import { traced } from './ftrace.ts';
import { type Job, Skip } from './job.ts';
import { kernelCalls, withoutAliases } from './kernel-side.ts';
import { expectSameAsKernel, expectSameAsStrace, expectWhole, record, recordUnderStrace } from './record.ts';
import { expectStatus, type Ran, runProgram } from './run-program.ts';
import { traceCalls } from './trace-calls.ts';

export const NIC = '0000:00:06.0';

const TESTPMD = [
  ...['dpdk-testpmd', '--no-huge', '-m', '256', '--iova-mode=va', '-a', NIC, '--no-telemetry', '--lcores=0@0,1@0'],
  ...['--', '-i', '--total-num-mbufs=2048'],
];
const TESTPMD_INPUT = 'show port info 0\nstart tx_first\nshow port stats all\nstop\nquit\n';

const qemu = (device: string): string[] => [
  ...['qemu-system-x86_64', '-M', 'q35,accel=tcg', '-m', '64', '-display', 'none', '-nic', 'none', '-monitor', 'none'],
  ...['-serial', 'null', '-device', `vfio-pci,host=${device}`],
  // with nothing to boot the firmware asks for a reset after a millisecond, and -no-reboot makes that the end
  ...['-boot', 'reboot-timeout=1', '-no-reboot'],
];

function bindNic(): void {
  bindAll();
  if (!existsSync(`/sys/bus/pci/devices/${NIC}`)) throw new Skip(`no e1000 at ${NIC}`);
  expectStatus('bind.sh', runProgram(['test/vm/bind.sh', NIC]));
}

async function judged(name: string, argv: string[], flags: string[], input = ''): Promise<{ run: Ran; trace: string }> {
  const trace = `/tmp/${name}.vrr`;
  const log = `/tmp/${name}.strace`;
  const run = expectStatus(name, await recordUnderStrace(trace, log, argv, { flags, input, seconds: 170 }));
  expectSameAsStrace(trace, log);
  expectWhole(trace);
  return { run, trace };
}

const count = (trace: string, where: string): number => {
  const db = new Database(trace, { readonly: true });
  try {
    return (db.prepare(`SELECT count(*) AS n FROM call WHERE ${where}`).get() as { n: number }).n;
  } finally {
    db.close();
  }
};

function needTestpmd(): void {
  bindNic();
  if (!existsSync('/usr/bin/dpdk-testpmd')) throw new Skip('dpdk-testpmd (package dpdk-dev) is not installed');
}

function expectPackets(run: Ran): void {
  if (!/TX-packets: 32 /.test(run.out)) throw new Error('testpmd sent no 32 packets');
}

async function testpmdTrapped(): Promise<void> {
  needTestpmd();
  const trace = '/tmp/testpmd-trapped.vrr';
  const options = { flags: ['--mmio=trap'], input: TESTPMD_INPUT, seconds: 170 };
  const { result, events } = await traced(() => record(trace, TESTPMD, options));
  expectPackets(expectStatus('testpmd', result));
  expectWhole(trace);
  const { calls, aliases } = withoutAliases(kernelCalls(events));
  expectSameAsKernel(trace, calls);
  const mapped = traceCalls(trace).filter((c) => c.op === 'mmap' && (c.ret ?? -1) > 0).length;
  if (aliases === 0 || aliases > mapped)
    throw new Error(`${aliases} mappings of the library's for ${mapped} of testpmd's`);
  if (count(trace, `name IN ('load', 'store')`) === 0) throw new Error('no access to a mapped register in the trace');
}

async function testpmd(): Promise<void> {
  needTestpmd();
  const { run, trace } = await judged('testpmd', TESTPMD, ['--mmio=pass'], TESTPMD_INPUT);
  expectPackets(run);
  if (count(trace, `name = 'VFIO_IOMMU_MAP_DMA'`) === 0) throw new Error('no mapping in the trace');
  const db = new Database(trace, { readonly: true });
  const named = (db.prepare('SELECT count(*) AS n FROM loss').get() as { n: number }).n;
  db.close();
  if (named === 0) throw new Error('the trace does not say that mapped accesses are not in it');
}

async function qemuWith(name: string, device: string): Promise<void> {
  bindNic();
  const { trace } = await judged(name, qemu(device), ['--mmio=hide']);
  if (count(trace, `name = 'mmap' AND kind = 'device'`) > 0)
    throw new Error('QEMU mapped a region that was to be hidden');
  if (count(trace, `name IN ('pread', 'pwrite') AND kind = 'device'`) === 0) throw new Error('no access in the trace');
}

export const programJobs = (): Job[] => [
  { name: 'dpdk-testpmd on an e1000 recorded call for call', run: testpmd },
  { name: 'dpdk-testpmd with its registers trapped: the trace has the calls that the kernel saw', run: testpmdTrapped },
  { name: 'QEMU with edu recorded call for call', run: () => qemuWith('qemu-edu', EDU) },
  { name: 'QEMU with an e1000 recorded call for call', run: () => qemuWith('qemu-e1000', NIC) },
];
