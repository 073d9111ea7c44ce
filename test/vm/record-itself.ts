// Recording with the program itself as what `record` starts, since the way of recording is chosen by that: a shell before
// it would be the one that is judged.
import { closeSync, openSync, readFileSync } from 'node:fs';

import { record } from '../../recorder/record.ts';
import type { Ran } from './run-program.ts';

const SECONDS = 60;

export async function recordItself(trace: string, argv: readonly [string, ...string[]]): Promise<Ran> {
  const said = ['/tmp/itself.out', '/tmp/itself.err'] as const;
  const [out, err] = said.map((path) => openSync(path, 'w')) as [number, number];
  let words = '';
  let limit: NodeJS.Timeout | undefined;
  try {
    const ended = await record(
      {
        command: argv,
        output: trace,
        mmio: 'hide',
        dma: { mode: 'none', doorbells: [], limit: 0 },
        backend: 'auto',
        raw: 'auto',
        payload: 'full',
        durable: false,
        force: true,
        ring: '/dev/shm',
        quota: undefined,
        keep: null,
        dumpOn: { bits: 0, errnos: [] },
        dumps: 0,
        env: process.env,
        cwd: process.cwd(),
        user: { uid: 0, gid: 0 },
        stdio: ['ignore', out, err],
        pid: process.pid,
      },
      {
        err: (text) => {
          words += text;
        },
        onSignal: (end) => {
          limit = setTimeout(() => end('SIGKILL'), SECONDS * 1000);
          return () => clearTimeout(limit);
        },
        onDump: () => () => {},
      },
    );
    const [output, errors] = said.map((path) => readFileSync(path, 'utf8')) as [string, string];
    return { status: ended.code, signal: ended.signal, out: output, err: errors + words };
  } finally {
    closeSync(out);
    closeSync(err);
  }
}
