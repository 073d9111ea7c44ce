// Finishes a dump in a thread of its own, so that the drain need not wait for indexes and counts.

import { parentPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';
import { setJournal } from '../traces/create.ts';
import { endTrace, type Meta } from './ending.ts';
import type { Loss } from './finish.ts';

export interface DumpWork {
  readonly path: string;
  readonly losses: Loss[];
  readonly meta: Meta;
  readonly durable: boolean;
  readonly full: boolean;
}

const { path, losses, meta, durable, full } = workerData as DumpWork;
const db = new Database(path, { fileMustExist: true });
setJournal(db, { durable });
parentPort?.postMessage(endTrace(db, losses, meta, full));
