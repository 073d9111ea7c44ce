// `doctor`: what it says of programs, against what is known of how they were built.

import * as assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import { examineHost, examineProgram } from '../../recorder/doctor.ts';
import { readExecutable } from '../../recorder/elf.ts';
import { canDispatch } from '../../recorder/raw-syscalls.ts';

const test = suite('doctor');
let folder = '';
const user = { uid: 0, gid: 0 };
const path = process.env.PATH ?? '';
test.before.each(() => {
  folder = mkdtempSync(join(tmpdir(), 'vfio-rr-doctor-'));
});
test.after.each(() => rmSync(folder, { recursive: true, force: true }));

function build(source: string, ...flags: string[]): string {
  const file = join(folder, 'program');
  writeFileSync(`${file}.c`, source);
  const r = spawnSync('gcc', ['-O1', '-o', file, `${file}.c`, ...flags], { encoding: 'utf8' });
  assert.equal(r.status, 0, r.stderr);
  return file;
}
const said = (program: string): string =>
  examineProgram(program, path, user)
    .map((f) => `${f.grade}: ${f.what}`)
    .join('\n');
const usesIoctl = '#include <sys/ioctl.h>\nint main(void) { return ioctl(0, 0x3b64) > 0; }\n';
const raw =
  'int main(void) { long r; __asm__ volatile("syscall" : "=a"(r) : "a"(16L), "D"(0L) : "rcx", "r11"); return r > 0; }\n';

test('a dynamic program and what it imports', () => {
  const text = said(build(usesIoctl));
  assert.match(text, /ok: dynamically linked/);
  assert.match(text, /note: it calls ioctl$/m);
  assert.ok(!/^(bad|warn)/m.test(text));
});

test('imports are those that nm sees', () => {
  const file = build(usesIoctl);
  const nm = spawnSync('nm', ['-D', '--undefined-only', file], { encoding: 'utf8' }).stdout;
  const theirs = [...nm.matchAll(/ [Uw] ([^@\s]+)/g)].map((m) => m[1]).sort();
  const own = readExecutable(file);
  assert.deepEqual(own.kind === 'elf' ? [...own.elf.imports].sort() : [], theirs);
});

test('a static program', () => {
  assert.match(said(build(usesIoctl, '-static')), /statically linked/);
  assert.match(said(build(usesIoctl, '-static-pie')), /statically linked/);
});

test('system calls beside libc', () => {
  assert.match(said(build(raw)), /^note: .*: 1 system calls not made through libc: dispatched/m);
  assert.equal(canDispatch('5.10.0-13-amd64'), false);
  assert.equal(canDispatch('5.11.0'), process.arch === 'x64');
});

test('a script is judged by its interpreter', () => {
  const script = join(folder, 'script');
  writeFileSync(script, '#!/usr/bin/env sh\ntrue\n', { mode: 0o755 });
  assert.match(said(script), /a script run by .*sh/);
});

test('files that are cut off or random say nothing and break nothing', () => {
  const whole = build(usesIoctl);
  const bytes = spawnSync('cat', [whole]).stdout as Buffer;
  for (const length of [5, 20, 64, 100, 1000, bytes.length / 2]) {
    const cut = join(folder, `cut${length}`);
    writeFileSync(cut, bytes.subarray(0, length), { mode: 0o755 });
    examineProgram(cut, path, user);
  }
  for (let i = 16; i < 64; i++) {
    const bent = Buffer.from(bytes);
    bent[i] = 0xff;
    writeFileSync(join(folder, 'bent'), bent, { mode: 0o755 });
    examineProgram(join(folder, 'bent'), path, user);
  }
});

test('the host', () => {
  const text = examineHost('/dev/shm')
    .map((f) => f.what)
    .join('\n');
  for (const subject of [/Linux/, /libvfio-rr\.so/, /IOMMU/, /vfio-pci/, /for the ring/, /clock/])
    assert.match(text, subject);
  assert.ok(examineHost(join(folder, 'none')).some((f) => f.grade === 'bad' && f.what.includes('--ring')));
});

test.run();
