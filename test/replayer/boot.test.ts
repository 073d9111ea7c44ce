// test/vm/boot.sh with a stand-in for QEMU: what started a boot may be killed, and leaves no machine behind.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { inTemporary } from '../traces/make.ts';

const boot = fileURLToPath(new URL('../vm/boot.sh', import.meta.url));

const alive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

async function until(holds: () => boolean, what: string): Promise<void> {
  for (let i = 0; i < 200 && !holds(); i++) await sleep(50);
  assert.ok(holds(), what);
}

/** The machine's process ends after `end` was done to the shell that started boot.sh. */
const endsWith = (end: (starter: ChildProcess) => void) => (): Promise<void> =>
  inTemporary(async (dir) => {
    const program = (name: string, ...lines: string[]): void => {
      writeFileSync(join(dir, name), ['#!/bin/sh', ...lines, ''].join('\n'));
      chmodSync(join(dir, name), 0o755);
    };
    const pidFile = join(dir, 'pid');
    program('qemu-system-x86_64', `echo $$ >'${pidFile}.new' && mv '${pidFile}.new' '${pidFile}'`, 'exec sleep 100');
    program('dpkg-query', 'echo install ok installed');
    writeFileSync(join(dir, 'kernel'), 'none');
    // Two commands, so that the shell stays beside boot.sh instead of becoming it.
    const script = `'${boot}' -k '${dir}/kernel' -o '${dir}/out' true; exit`;
    const starter = spawn('sh', ['-c', script], {
      env: { ...process.env, PATH: `${dir}:${process.env.PATH}` },
      stdio: 'ignore',
      detached: true,
    });
    await until(() => existsSync(pidFile), 'the machine starts');
    const machine = Number(readFileSync(pidFile, 'utf8'));
    assert.ok(alive(machine));
    end(starter);
    await once(starter, 'exit');
    await until(() => !alive(machine), 'the machine ends');
  });

test(
  'killed by SIGKILL',
  endsWith((starter) => starter.kill('SIGKILL')),
);
test(
  'interrupted as by Ctrl-C',
  endsWith((starter) => process.kill(-(starter.pid as number), 'SIGINT')),
);
test(
  'its group is told to end',
  endsWith((starter) => process.kill(-(starter.pid as number), 'SIGTERM')),
);

test.run();
