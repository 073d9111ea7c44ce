// Makes traces/golden/v3/qemu-7.2-v1-{source,destination}.vrr: unmodified QEMU 7.2 migrates a machine whose guest
// (guest.S) drives an emulated device, over migration protocol v1.
//   npx tsx test/play/make-golden.ts

import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildGuest, Qemu, qemuVersion } from './qemu.ts';

const UUID = '00000000-0000-4000-8000-000000000001';
const SCRUB = fileURLToPath(new URL('../golden/scrub.ts', import.meta.url));
/** Small enough for a small trace, and more than one segment. */
const PROFILE = 'v1-edu,memory=8192,dataSize=8192';
const NOTE = 0x6000;

async function make(): Promise<void> {
  if (!qemuVersion().startsWith('7.2.')) throw new Error(`QEMU 7.2 is needed, this is ${qemuVersion()}`);
  const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-golden-'));
  const uri = `unix:${join(dir, 'mig')}`;
  const device = `vfio-pci,sysfsdev=/sys/bus/mdev/devices/${UUID},x-enable-migration=on`;
  const guest = ['-kernel', buildGuest(dir)];
  const trace = (end: string): string => join(dir, `qemu-7.2-v1-${end}.vrr`);
  const options = (end: string): string[] => ['--emulate', `${PROFILE}:${UUID}`, '--record', trace(end)];
  const destination = new Qemu(dir, 'd', options('destination'), device, [...guest, '-incoming', uri]);
  const source = new Qemu(dir, 's', options('source'), device, guest);
  await destination.command('query-status');
  while ((await source.word(NOTE)) !== 1) await sleep(50);
  const status = await source.migrate(uri);
  await Promise.all([source.quit(), destination.quit()]);
  if (status !== 'completed') throw new Error(`the migration ${status}: ${source.output}`);
  for (const end of ['source', 'destination']) {
    execFileSync(process.execPath, ['--import', 'tsx', SCRUB, trace(end)]);
    const to = fileURLToPath(new URL(`../../traces/golden/v3/qemu-7.2-v1-${end}.vrr`, import.meta.url));
    copyFileSync(trace(end), `${to}.new`);
    renameSync(`${to}.new`, to);
  }
  rmSync(dir, { recursive: true });
}

await make();
