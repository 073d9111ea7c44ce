// The thread that answers: it blocks on the request FIFO, so it is not the one that minds the program.

import { parentPort, workerData } from 'node:worker_threads';
import { TraceError } from '../../schema/errors.ts';
import { machineOf } from './plan.ts';
import { PlayServer } from './server.ts';
import type { FromWorker, WorkerData } from './session.ts';
import { writeTree } from './tree.ts';

const { dir, plan, waiting } = workerData as WorkerData;
const flag = new Int32Array(waiting);
const say = (message: FromWorker): void => parentPort?.postMessage(message);

try {
  const { machine, shown, iommufd } = machineOf(plan, (text) => say({ kind: 'said', text }));
  writeTree(`${dir}/root`, shown, iommufd);
  const server = new PlayServer(dir, machine, plan.memlock);
  say({ kind: 'ready' });
  // flag[0]: 1 while virtual time has something to wait for; flag[1]: counts requests, so quiet can be told.
  const counts = server.run((busy) => {
    flag[0] = busy ? 1 : 0;
    Atomics.add(flag, 1, 1);
  });
  say({ kind: 'done', counts, remarks: machine.report(), devices: shown.map((s) => s.name) });
} catch (error) {
  if (error instanceof TraceError) say({ kind: 'failed', code: error.code, message: error.message });
  else throw error;
}
