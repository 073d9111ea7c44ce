// timeout: 300
// What `vfio-rr matrix` and `vfio-rr test` say of bad input: one sentence, and the exit code for it.

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runMatrix } from '../../replayer/matrix/matrix.ts';
import { tableText } from '../../replayer/matrix/table.ts';
import { buildGuest, qemuVersion } from '../play/qemu.ts';
import { inTemporary } from '../traces/make.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const edu = join(root, 'traces/golden/v1/edu-group.vrr');

function refused(says: RegExp, code: number, ...args: string[]): void {
  const r = spawnSync(process.execPath, ['--import', 'tsx', join(root, 'cli.ts'), ...args], { encoding: 'utf8' });
  assert.is(r.status, code, `${args.join(' ')}: ${r.stdout}${r.stderr}`);
  assert.match(r.stderr, /^vfio-rr: [^\n]+\n$/);
  assert.match(r.stderr, says);
}

test('an unknown version, a cell that is not there, numbers that are none', () => {
  const matrix = (says: RegExp, ...more: string[]): void =>
    refused(says, 2, 'matrix', edu, '--kernels', '6.1,7.2', ...more);
  refused(/kernel "5\.10" is neither one of 6\.1, 6\.12, 7\.2, lab nor a file/, 2, 'matrix', edu, '--kernels', '5.10');
  matrix(/there is no cell 2; --list shows them/, '--cell', '2');
  matrix(/--cell takes a whole number, 0 or more/, '--cell', 'x');
  matrix(/--limit takes a whole number, 1 or more/, '--limit', '0');
  matrix(/--jobs takes a whole number, 1 or more/, '--jobs', '0');
  matrix(/--kernels is given more than once/, '--kernels', '6.12');
});

test('an empty trace, a directory without traces, a part that is none', () =>
  inTemporary((dir) => {
    const [empty, none] = [join(dir, 'empty.vrr'), join(dir, 'none')];
    writeFileSync(empty, '');
    mkdirSync(none);
    refused(/empty\.vrr is empty/, 3, 'matrix', empty, '--kernels', '6.1');
    for (const reader of ['check', 'replay']) refused(/empty\.vrr is empty/, 3, reader, empty);
    refused(/empty\.vrr is empty/, 3, 'diff', edu, empty);
    refused(/holds no traces \(\*\.vrr\)/, 2, 'test', none);
    refused(/--shard 3\/2: give it as I\/N/, 2, 'test', dir, '--shard', '3/2');
  }));

test('a result that is there is kept', () =>
  inTemporary((dir) => {
    mkdirSync(join(dir, '0'));
    writeFileSync(join(dir, '0/result.vrr'), 'mine');
    refused(/0\/result\.vrr exists; --force overwrites it/, 2, 'matrix', edu, '--kernels', '6.1', '-o', dir);
  }));

if (qemuVersion() === '') console.log('SKIP no QEMU to boot what is no kernel');
else {
  const problem = (kernel: string, out: string, limit: number): Promise<string> =>
    runMatrix({
      ...{ trace: edu, kernels: [kernel], devices: [], masks: [], cell: null, out, jobs: 1, limit, force: false },
      onCell: () => undefined,
    }).then((table) => {
      assert.match(tableText(table), /no result: [\s\S]*\nNo kernel ran\.\n/);
      return table.kernels[0]?.problem ?? '';
    });

  test('a file that is no kernel', () =>
    inTemporary(async (dir) => {
      const file = join(dir, 'bzImage');
      writeFileSync(file, 'no kernel');
      const said = await problem(file, dir, 60);
      assert.match(said, /^the guest died; its console said nothing\nqemu[^\n]*: invalid kernel header\n/);
    }));

  test("a kernel that comes to nothing within its limit: its console's last lines", () =>
    inTemporary(async (dir) => {
      const said = await problem(buildGuest(dir, 'test/replayer/stuck.S'), dir, 15);
      assert.match(
        said,
        /^did not finish within its limit of 15 s; the console's last lines:\n[\s\S]*stuck: mounted root\r?\nstuck: waiting for init$/,
      );
    }));
}

test.run();
