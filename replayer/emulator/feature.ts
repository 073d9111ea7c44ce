// VFIO_DEVICE_FEATURE. Source: drivers/vfio/vfio_main.c (vfio_ioctl_device_feature and what it calls, 6.12; feature 12
// from 7.2).

import { FEATURE_MASK, featureOps, vfio_device_feature } from '../../schema/device.ts';
import { features, migrationFlags, migStates } from '../../schema/features.ts';
import type { Struct } from '../../schema/layout.ts';
import type { Caller } from './caller.ts';
import type { Device } from './device.ts';
import { DmaLog } from './dma.ts';
import { Failed, fail } from './failed.ts';
import type { OpenFile } from './file.ts';
import { eventfdOf } from './pci-irq.ts';
import { User } from './user.ts';

const HEADER = vfio_device_feature.size;
const { GET, SET, PROBE } = featureOps;
/** Ranges that DMA_LOGGING_START takes: a page of them. */
const LOG_MAX_RANGES = 4096 / 16;
const U64 = 1n << 64n;

interface Asked {
  readonly device: Device;
  readonly caller: Caller;
  readonly flags: number;
  readonly data: User;
  readonly layout: Struct;
  readonly size: number;
}

/** vfio_check_feature: false: only probed. `ops`: those that the feature takes. */
function check(asked: Asked, ops: number, min: number): boolean {
  if ((asked.flags & (GET | SET) & ~ops) !== 0) fail('EINVAL');
  if (asked.flags & PROBE) return false;
  if (!(asked.flags & (GET | SET))) fail('EINVAL');
  if (asked.size < min) fail('EINVAL');
  return true;
}

const handlers: Readonly<Record<string, (asked: Asked) => void>> = {
  MIGRATION(asked) {
    const { migration } = asked.device.driver;
    const flags = migration?.flags ?? fail('ENOTTY');
    if (!check(asked, GET, asked.layout.size)) return;
    const out = asked.data.copyIn(asked.layout);
    asked.data.copyOut(out.set('flags', flags));
  },
  MIG_DEVICE_STATE: deviceState,
  MIG_DATA_SIZE(asked) {
    const { migration } = asked.device.driver;
    if (!migration) fail('ENOTTY');
    if (!check(asked, GET, asked.layout.size)) return;
    const out = asked.data.copyIn(asked.layout);
    asked.data.copyOut(out.set('stop_copy_length', migration?.dataSize() ?? 0n));
  },
  LOW_POWER_ENTRY: (asked) => enterLowPower(asked, 0),
  LOW_POWER_ENTRY_WITH_WAKEUP: (asked) => enterLowPower(asked, asked.layout.size),
  LOW_POWER_EXIT(asked) {
    if (asked.device.driver.lowPower === undefined) fail('ENOTTY');
    if (check(asked, SET, 0)) asked.device.driver.lowPower = false;
  },
  DMA_LOGGING_START: loggingStart,
  DMA_LOGGING_STOP(asked) {
    if (!asked.device.driver.logging) fail('ENOTTY');
    if (!check(asked, SET, 0)) return;
    asked.device.log = null;
  },
  DMA_LOGGING_REPORT: loggingReport,
  MIG_PRECOPY_INFOv2(asked) {
    const migration = asked.device.driver.migration ?? fail('ENOTTY');
    if (!(migration.flags & migrationFlags.PRE_COPY)) fail('EINVAL');
    if (check(asked, SET, 0)) migration.precopyInfoV2 = true;
  },
};

export function featureIoctl(device: Device, caller: Caller, user: User): number {
  const header = user.copyIn(vfio_device_feature);
  const flags = header.num('flags');
  if (header.num('argsz') < HEADER) fail('EINVAL');
  if (flags & ~(FEATURE_MASK | GET | SET | PROBE)) fail('EINVAL');
  if (!(flags & PROBE) && flags & SET && flags & GET) fail('EINVAL');
  if (device.driver.feature) return device.driver.feature(caller, flags, user);
  const feature = features.find((f) => f.id === (flags & FEATURE_MASK));
  const handler = feature && device.host.has(feature.since) ? handlers[feature.name] : undefined;
  if (!handler || !feature) return fail('ENOTTY');
  handler({
    device,
    caller,
    flags,
    data: user.at(HEADER),
    layout: feature.data ?? vfio_device_feature,
    size: header.num('argsz') - HEADER,
  });
  return 0;
}

/**
 * A SET that fails still writes its answer back: data_fd is -1 and device_state is what was asked for, whatever state
 * the device is in now.
 */
function deviceState(asked: Asked): void {
  const migration = asked.device.driver.migration ?? fail('ENOTTY');
  if (!check(asked, GET | SET, asked.layout.size)) return;
  const mig = asked.data.copyIn(asked.layout);
  let stream: OpenFile | null = null;
  let failed: Failed | null = null;
  if (asked.flags & GET) mig.set('device_state', migStates[migration.getState()]);
  else
    try {
      stream = migration.setState(mig.num('device_state'));
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      failed = error;
    }
  const fd = stream ? asked.caller.install(stream) : -1;
  if (stream && fd < 0) {
    stream.put();
    throw new Failed(-fd);
  }
  asked.data.copyOut(mig.set('data_fd', fd));
  if (failed) throw failed;
}

/** vfio_pci_runtime_pm_entry. Emulated devices never wake up by themselves. */
function enterLowPower(asked: Asked, size: number): void {
  const { driver } = asked.device;
  if (driver.lowPower === undefined) fail('ENOTTY');
  if (!check(asked, SET, size)) return;
  if (size > 0) {
    const entry = asked.data.copyIn(asked.layout);
    if (entry.num('reserved')) fail('EINVAL');
    if (entry.num('wakeup_eventfd') >= 0) eventfdOf(asked.caller, entry.num('wakeup_eventfd'));
  }
  if (driver.lowPower) fail('EINVAL');
  driver.lowPower = true;
}

function loggingStart(asked: Asked): void {
  const { device } = asked;
  if (!device.driver.logging) fail('ENOTTY');
  if (!check(asked, SET, asked.layout.size)) return;
  const control = asked.data.copyIn(asked.layout);
  const count = control.num('num_ranges');
  const page = control.big('page_size');
  if (count === 0) fail('EINVAL');
  if (count > LOG_MAX_RANGES) fail('E2BIG');
  const user = new User(asked.caller.memory, control.big('ranges'));
  const ranges: { first: bigint; last: bigint }[] = [];
  for (let i = 0; i < count; i++) {
    const bytes = user.at(16 * i).read(16); // struct vfio_device_feature_dma_logging_range: iova u64, length u64
    const iova = bytes.readBigUInt64LE();
    const length = bytes.readBigUInt64LE(8);
    if ((iova | length) & (page - 1n)) fail('EINVAL');
    if (iova + length >= U64) fail('EOVERFLOW');
    const last = iova + length - 1n;
    if (ranges.some((r) => iova <= r.last && last >= r.first)) fail('EINVAL');
    ranges.push({ first: iova, last });
  }
  if (device.log && !device.driver.laxLogging) fail('EINVAL');
  device.log = new DmaLog(ranges);
  asked.data.copyOut(control);
}

function loggingReport(asked: Asked): void {
  const { device } = asked;
  if (!device.driver.logging) fail('ENOTTY');
  if (!check(asked, GET, asked.layout.size)) return;
  const report = asked.data.copyIn(asked.layout);
  const [iova, length, page] = [report.big('iova'), report.big('length'), report.big('page_size')];
  if (page < 4096n || (page & (page - 1n)) !== 0n) fail('EINVAL');
  if (iova + length >= U64) fail('EOVERFLOW');
  if (!device.log && !device.driver.laxLogging) fail('EINVAL');
  const words = new Map<bigint, bigint>();
  for (const frame of device.log?.take(iova, length) ?? []) {
    const bit = ((frame << 12n) - iova) / page;
    words.set(bit / 64n, (words.get(bit / 64n) ?? 0n) | (1n << (bit % 64n)));
  }
  const bitmap = new User(asked.caller.memory, report.big('bitmap'));
  for (const [word, bits] of words) {
    const place = bitmap.at(word * 8n);
    const bytes = place.read(8);
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE() | bits);
    place.write(bytes);
  }
}
