// Which built-in device a trace was recorded on: the one that describes itself in the same words.

import { request } from '../../schema/call.ts';
import { deviceCalls, FEATURE_MASK, featureOps } from '../../schema/device.ts';
import { features } from '../../schema/features.ts';
import { AddressSpaceOfCaller } from './address-space.ts';
import type { Caller } from './caller.ts';
import type { Device } from './device.ts';
import { Emulator } from './emulator.ts';
import { errno, Failed } from './failed.ts';
import { featureIoctl } from './feature.ts';
import type { Profile } from './profile.ts';
import { profiles } from './profiles/list.ts';
import type { Asked, RecordedDevice } from './recording.ts';
import { User } from './user.ts';

const describing = ['VFIO_DEVICE_GET_INFO', 'VFIO_DEVICE_GET_REGION_INFO', 'VFIO_DEVICE_GET_IRQ_INFO'];
const requests = deviceCalls.filter((c) => describing.includes(c.name)).map((c) => request(c.nr));
const FEATURE = request(deviceCalls.find((c) => c.name === 'VFIO_DEVICE_FEATURE')?.nr ?? 0);
const MIGRATION = features.find((f) => f.name === 'MIGRATION')?.id;

interface Question extends Asked {
  readonly request: number;
  readonly feature: boolean;
}

/** The calls of the trace that only ask what the device is. */
function questions(recorded: RecordedDevice): Question[] {
  return [...recorded.asked].flatMap(([key, all]) => {
    const [nr = '', flags = ''] = key.split(':');
    const what = Number(nr);
    const feature = what === FEATURE && (Number(flags) & FEATURE_MASK) === MIGRATION;
    const asks = requests.includes(what) || (feature && (Number(flags) & featureOps.GET) !== 0);
    return asks ? all.filter((a) => a.input.length >= 4).map((a) => ({ ...a, request: what, feature })) : [];
  });
}

/** Whether the device answers as the trace has it. */
function answers(device: Device, question: Question): boolean {
  const memory = new AddressSpaceOfCaller();
  const caller: Caller = { process: 0, memory, memlock: null, file: () => undefined, install: () => -errno('EMFILE') };
  const bytes = Buffer.alloc(Math.max(question.argsz, question.input.length));
  question.input.copy(bytes);
  bytes.writeUInt32LE(question.argsz);
  const user = new User(memory, memory.pass(bytes));
  let ret: number;
  try {
    ret = question.feature ? featureIoctl(device, caller, user) : device.driver.ioctl(caller, question.request, user);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    ret = -error.errno;
  }
  const [first] = question.answers;
  if (ret !== first?.ret) return false;
  const { output } = first;
  return ret < 0 || !output || user.read(output.length).equals(output);
}

/** `physical`: it has an address on a bus. Null: none of them. */
export function builtIn(recorded: RecordedDevice, physical: boolean): Profile | null {
  const asked = questions(recorded);
  if (asked.length === 0) return null;
  for (const profile of Object.values(profiles)) {
    const [device] = new Emulator([{ profile }]).devices;
    if (!device || device.driver.physical !== physical || idOf(device) !== recorded.id) continue;
    // The order in which a driver was asked can matter: mtty knows of no interrupts before GET_INFO.
    const [info, rest] = [
      asked.filter((q) => q.request === requests[0]),
      asked.filter((q) => q.request !== requests[0]),
    ];
    if ([...info, ...rest].every((q) => answers(device, q))) return profile;
  }
  return null;
}

/** Vendor and device in its configuration space. */
function idOf(device: Device): number {
  return device.driver.read(CONFIG, 4).readUInt32LE();
}
/** The configuration space's place in the file of every built-in device: index 7. */
const CONFIG = 7n << 40n;
