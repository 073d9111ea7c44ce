// Bad input: one sentence and the right exit code.
// timeout: 240

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { client, makeClients, vfioRr } from './run.ts';

const test = suite('play: bad input');
const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-test-'));
const noTrace = join(dir, 'no-trace.vrr');
writeFileSync(noTrace, 'text\n');
const root = fileURLToPath(new URL('../..', import.meta.url));

test.before(makeClients);
test.after(() => rmSync(dir, { recursive: true, force: true }));

const cases: readonly [string, string[], number, RegExp][] = [
  ['no program', ['--emulate', 'edu'], 2, /name the program behind --/],
  ['nothing to answer', ['--', 'true'], 2, /Name a trace, or --emulate PROFILE/],
  ['unknown profile', ['--emulate', 'nix', '--', 'true'], 2, /no emulated device is called 'nix'; there are edu, /],
  [
    'unknown device option',
    ['--emulate', 'v1-edu,speed=1', '--', 'true'],
    2,
    /'speed=1': this device has no such option/,
  ],
  ['an option of another device', ['--emulate', 'edu,churn=1', '--', 'true'], 2, /'churn=1': this device has no such/],
  ['an odd memory size', ['--emulate', 'v1-edu,memory=5000', '--', 'true'], 2, /takes a power of two from 4096/],
  [
    'memory of a device that has none',
    ['--emulate', 'edu,memory=4096', '--', 'true'],
    2,
    /a device with memory of its/,
  ],
  ['a data section below a page', ['--emulate', 'v1-edu,dataSize=4096', '--', 'true'], 2, /give 4168 or more/],
  ['a name that is no address', ['--emulate', 'edu:zz', '--', 'true'], 2, /a PCI device is called like 0000:00:04\.0/],
  ['a name that is no UUID', ['--emulate', 'serial:1', '--', 'true'], 2, /called by a UUID/],
  ['trace and emulator', [noTrace, '--emulate', 'edu', '--', 'true'], 2, /leave one of them out/],
  ['--fault with a trace', [noTrace, '--fault', 'pread=EIO', '--', 'true'], 2, /--fault and --seed go with --emulate/],
  ['--match without a trace', ['--emulate', 'edu', '--match', 'strict', '--', 'true'], 2, /--match goes with a trace/],
  ['no such trace', [join(dir, 'none'), '--', 'true'], 2, /no file /],
  ['not a trace', [noTrace, '--', 'true'], 3, /is not a trace/],
  ['a fault rule that is none', ['--emulate', 'edu', '--fault', 'FOO', '--', 'true'], 2, /fault 'FOO' is not /],
  ['--memlock', ['--emulate', 'edu', '--memlock', 'much', '--', 'true'], 2, /give a number of bytes, or none/],
  ['--seed', ['--emulate', 'edu', '--seed', 'x', '--', 'true'], 2, /--seed: give a whole number/],
  [
    'one name twice',
    ['--emulate', 'edu:0000:00:04.0', '--emulate', 'edu:0000:00:04.0', '--', 'true'],
    2,
    /two emulated devices are called/,
  ],
  ['no such program', ['--emulate', 'edu', '--', 'no-such-program'], 2, /no program no-such-program/],
  [
    'a program without VFIO',
    ['--emulate', 'edu', '--', 'true'],
    1,
    /made no call on a VFIO device: it looked for another than 0000:00:/,
  ],
  [
    'a fault whose turn never comes',
    ['--emulate', 'edu:0000:00:04.0', '--fault', 'pread=EIO@9999', '--', client('edu-group')],
    1,
    /fault pread=EIO@9999: its turn never came/,
  ],
];
for (const [name, args, code, said] of cases) {
  test(name, async () => {
    const ran = await vfioRr(['play', ...args], 30);
    assert.match(ran.err, said);
    assert.not.match(ran.err, /\n {4}at /, 'no stack trace');
    assert.is(ran.code, code);
  });
}

test('a call that the emulator lacks fails as in a kernel without it, and is listed', async () => {
  const ran = await vfioRr(['play', '--emulate', 'edu:0000:00:04.0', '--', client('edu-group')]);
  assert.match(ran.out, /an unknown request = -1 ENOTTY/);
  assert.match(ran.err, /answered ENOTTY, as a kernel without them would: 0x3bc7 on device/);
  assert.is(ran.code, 0);
});

for (const more of [[], ['--record', join(dir, 'inherited.vrr')]])
  test(`the program has the descriptors that were open already (${more.length > 0 ? '' : 'not '}recorded)`, () => {
    const program = `read line <&7; echo "7: $line"; ${client('describe')} group 0000:00:04.0 >/dev/null`;
    const play = ['play', '--emulate', 'edu:0000:00:04.0', ...more];
    const shell = ['-c', `exec 7<"${noTrace}"; exec bin/vfio-rr "$@"`, 'sh', ...play, '--', 'sh', '-c', program];
    const ran = spawnSync('sh', shell, { cwd: root, encoding: 'utf8', timeout: 60_000 });
    assert.is(ran.stdout, '7: text\n', ran.stderr);
    assert.is(ran.status, 0, ran.stderr);
  });

test("the program's exit code is the command's", async () => {
  const ran = await vfioRr([
    'play',
    '--emulate',
    'edu:0000:00:04.0',
    '--',
    'sh',
    '-c',
    `${client('edu-group')} >&2; exit 42`,
  ]);
  assert.is(ran.code, 42);
});

test.run();
