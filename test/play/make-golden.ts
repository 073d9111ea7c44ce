// Makes traces/golden/v3/qemu-7.2-{v1,v1-two}-{source,destination}.vrr: unmodified QEMU 7.2 migrates a machine whose guest
// (guest.S) drives an emulated device, over migration protocol v1; and one with two devices that know NDMA.
//   npx tsx test/play/make-golden.ts [v1|v1-two]

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildGuest, Qemu, qemuVersion } from './qemu.ts';

interface Machine {
  readonly profile: string;
  readonly uuids: readonly [string, ...string[]];
}
const uuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
/** Device memory that is small enough for a small trace, and more than one segment. */
const memory = (bytes: number): string => `memory=${bytes},dataSize=8192`;
const machines: Readonly<Record<string, Machine>> = {
  v1: { profile: `v1-edu,${memory(8192)}`, uuids: [uuid(1)] },
  'v1-two': { profile: `v1-ndma,${memory(4096)}`, uuids: [uuid(1), uuid(2)] },
};
const SCRUB = fileURLToPath(new URL('../golden/scrub.ts', import.meta.url));
const NOTE = 0x6000;

async function make(name: string, { profile, uuids }: Machine): Promise<void> {
  if (!qemuVersion().startsWith('7.2.')) throw new Error(`QEMU 7.2 is needed, this is ${qemuVersion()}`);
  const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-golden-'));
  const uri = `unix:${join(dir, 'mig')}`;
  const [device, ...others] = uuids.map(
    (u) => `vfio-pci,sysfsdev=/sys/bus/mdev/devices/${u},x-enable-migration=on`,
  ) as [string, ...string[]];
  const guest = [...others.flatMap((d) => ['-device', d]), '-kernel', buildGuest(dir)];
  const trace = (end: string): string => join(dir, `qemu-7.2-${name}-${end}.vrr`);
  const emulate = uuids.flatMap((u) => ['--emulate', `${profile}:${u}`]);
  const options = (end: string): string[] => [...emulate, '--record', trace(end)];
  const destination = new Qemu(dir, 'd', options('destination'), device, [...guest, '-incoming', uri]);
  const source = new Qemu(dir, 's', options('source'), device, guest);
  await destination.command('query-status');
  while ((await source.word(NOTE)) !== 1) await sleep(50);
  const status = await source.migrate(uri);
  await Promise.all([source.quit(), destination.quit()]);
  if (status !== 'completed') throw new Error(`the migration ${status}: ${source.output}`);
  for (const end of ['source', 'destination']) {
    execFileSync(process.execPath, ['--import', 'tsx', SCRUB, trace(end)]);
    const to = fileURLToPath(new URL(`../../traces/golden/v3/qemu-7.2-${name}-${end}.vrr`, import.meta.url));
    copyFileSync(trace(end), `${to}.new`);
    renameSync(`${to}.new`, to);
  }
  rmSync(dir, { recursive: true });
}

const [asked] = process.argv.slice(2);
for (const [name, machine] of Object.entries(machines))
  if (asked === undefined || asked === name) await make(name, machine);
