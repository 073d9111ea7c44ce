// The client programs and what each needs.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export const BUILD = 'test/clients/build';
export const EDU = '0000:00:04.0';
export const SECOND_EDU = '0000:00:05.0';
/** Only described, by nobody's driver. */
export const DESCRIBED = '0000:00:06.0';
export const MTTY = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1002';

export interface Client {
  name: string;
  argv: string[];
  /** A kernel without it skips the client. */
  needs: 'group' | 'cdev' | 'mtty';
  /** Threads or processes that call at once: their order differs from run to run. */
  concurrent?: boolean;
}

export const clients: Client[] = [
  { name: 'edu-group', argv: [`${BUILD}/edu-group`, EDU], needs: 'group' },
  { name: 'edu-cdev', argv: [`${BUILD}/edu-cdev`, EDU], needs: 'cdev' },
  { name: 'mtty-group', argv: [`${BUILD}/mtty-migrate`, 'group', MTTY], needs: 'mtty' },
  { name: 'mtty-cdev', argv: [`${BUILD}/mtty-migrate`, 'cdev', MTTY], needs: 'mtty' },
  { name: 'threads', argv: [`${BUILD}/threads`, '50', EDU], needs: 'group', concurrent: true },
  { name: 'threads-two', argv: [`${BUILD}/threads`, '50', EDU, SECOND_EDU], needs: 'group', concurrent: true },
  { name: 'fork', argv: [`${BUILD}/fork`, EDU], needs: 'group', concurrent: true },
  { name: 'passfd', argv: [`${BUILD}/passfd`, EDU], needs: 'group' },
  { name: 'exec', argv: [`${BUILD}/exec`, EDU], needs: 'group' },
  { name: 'spawn', argv: [`${BUILD}/spawn`, EDU], needs: 'group' },
  { name: 'errors', argv: [`${BUILD}/errors`, EDU], needs: 'group' },
  { name: 'entries', argv: [`${BUILD}/entries`, EDU], needs: 'group' },
];

/** Whether this kernel has what the client needs. */
export function canRun(client: Client): boolean {
  switch (client.needs) {
    case 'group':
      return existsSync('/dev/vfio/vfio');
    case 'cdev':
      return existsSync('/dev/iommu');
    case 'mtty':
      return existsSync('/sys/class/mdev_bus/mtty');
    default:
      return client.needs satisfies never;
  }
}

/** Devices as the client expects them at its start: mtty made anew, for its registers outlive the program. */
export function prepare(client: Client): void {
  if (client.needs === 'mtty') must('test/vm/mtty.sh', []);
}

export function bindAll(): void {
  bind(EDU);
  if (existsSync(`/sys/bus/pci/devices/${SECOND_EDU}`)) bind(SECOND_EDU);
}

/** To vfio-pci. */
export function bind(device: string): void {
  must('test/vm/bind.sh', [device]);
}

function must(command: string, args: string[]): void {
  const run = spawnSync(command, args, { encoding: 'utf8', timeout: 20_000 });
  if (run.status !== 0) throw new Error(`${command} ${args.join(' ')}: ${run.stderr}`);
}
