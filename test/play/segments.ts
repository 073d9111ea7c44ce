// The migration data in a trace of the v1 protocol, segment by segment, found by the protocol's own rules and nothing of
// the emulator: what was read between a read of data_size and the next of pending_bytes, and what was written before a
// write of data_size.

import { fieldOf } from '../../schema/layout.ts';
import { vfio_device_migration_info } from '../../schema/states-v1.ts';
import { Names } from '../../traces/names.ts';
import { openTrace } from '../../traces/trace.ts';

const at = (name: string): bigint => BigInt(fieldOf(vfio_device_migration_info, name).at);
const HEAD = BigInt(vfio_device_migration_info.size);

export interface V1Run {
  readonly read: Buffer[];
  readonly written: Buffer[];
  /** Values written to device_state, with what became of each: 0 or -errno. */
  readonly states: { readonly value: number; readonly ret: number }[];
}

export function v1Run(path: string): V1Run {
  const trace = openTrace(path);
  const names = new Names(trace);
  const run: V1Run = { read: [], written: [], states: [] };
  let reading: Buffer[] = [];
  let writing: Buffer[] = [];
  for (const e of trace.events()) {
    if ((e.op !== 'pread' && e.op !== 'pwrite') || e.region === null || !names.isMigration(e.handle, e.region))
      continue;
    const offset = e.a ?? 0n;
    if (offset >= HEAD) {
      if (e.op === 'pread' && e.output) reading.push(Buffer.from(e.output));
      else if (e.input) writing.push(Buffer.from(e.input));
    } else if (e.op === 'pread' && offset === at('pending_bytes')) {
      if (reading.length > 0) run.read.push(Buffer.concat(reading));
      reading = [];
    } else if (e.op === 'pwrite' && offset === at('data_size')) {
      run.written.push(Buffer.concat(writing));
      writing = [];
    } else if (e.op === 'pwrite' && offset === at('device_state')) {
      run.states.push({ value: Number(e.val), ret: Math.min(e.ret ?? 0, 0) });
    }
  }
  trace.close();
  return run;
}
