import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { losses, recordFlags } from '../../schema/event.ts';
import { prepare, runPlain, runRecorded } from './run.ts';

prepare();

const plain = runPlain(['mapped']);
const { stdout, signal, ring } = runRecorded(['mapped'], { mmio: 'trap' });
const device = Number((ring.calls.find((c) => c.op === 'ioctl')?.value ?? 0n) & 0xffffffffn);
const accesses = ring.calls.filter((c) => c.op === 'load' || c.op === 'store');

test('the program reads and writes what it would without, and dies where it would', () => {
  assert.match(plain.stdout, 'cd 89ab 89abcdef 123456789abcdef -119');
  assert.is(stdout, plain.stdout);
  assert.is(plain.signal, 'SIGSEGV', 'the region is not mapped any more');
  assert.is(signal, plain.signal);
});

test('loads and stores are there with width and value, in order', () => {
  assert.ok(accesses.every((c) => c.handle === device));
  const known = accesses.filter((c) => c.flags & recordFlags.INLINE);
  assert.equal(
    known.slice(0, 10).map((c) => [c.op, Number(c.a), Number(c.b), c.value]),
    [
      ['load', 0x101, 1, 0xcdn],
      ['load', 0x102, 2, 0x89abn],
      ['load', 0x100, 4, 0x89abcdefn],
      ['load', 0x100, 8, 0x0123456789abcdefn],
      ['load', 0x103, 1, 0x89n],
      ['load', 0x100, 4, 0x89abcdefn],
      ['store', 0x1200, 1, 0x11n],
      ['store', 0x1202, 2, 0x2233n],
      ['store', 0x1204, 4, 0x44556677n],
      ['store', 0x1208, 8, 0x8899aabbccddeeffn],
    ],
  );
});

test('an instruction that is not decoded is stepped over and told without its value', () => {
  const stepped = accesses.filter((c) => !(c.flags & recordFlags.INLINE));
  assert.ok(stepped.length >= 1);
  assert.ok(stepped.some((c) => c.op === 'store' && Number(c.a) === 0x300));
  assert.ok(stepped.every((c) => c.flags & recordFlags.SHORT));
});

test('a buffer that lies in a trapped region can be given to the kernel', () => {
  const write = ring.calls.find((c) => c.op === 'pwrite' && c.b === 8n);
  assert.equal([write?.ret, write?.value], [8, 0x0123456789abcdefn]);
});

test("other memory put over a trapped page is the program's own; the pages beside it stay trapped", () => {
  const over = runRecorded(['covered'], { mmio: 'trap' });
  assert.is(over.stdout, '11111111 1 0 33333333 11111111 22222222\n');
  assert.is(over.stdout, runPlain(['covered']).stdout);
  const seen = over.ring.calls.filter((c) => c.op === 'load' || c.op === 'store');
  assert.equal(
    seen.map((c) => [c.op, Number(c.a), c.value]),
    [
      ['load', 0x100, 0x11111111n],
      ['load', 0x1100, 0x22222222n],
    ],
  );
});

test("a handler and a mask set by the kernel's own calls do not undo the trap", () => {
  const other = runRecorded(['overruled'], { mmio: 'trap' });
  assert.is(other.stdout, '0 1 0 1 -1 22 11111111 7 11 0 0 11111111 1 0 1\n');
  assert.is(other.stdout, runPlain(['overruled']).stdout);
  assert.is(other.ring.calls.filter((c) => c.op === 'load').length, 2);
});

test('a call that would end a mapping, and fails, leaves it trapped', () => {
  const failing = runRecorded(['failing'], { mmio: 'trap' });
  assert.is(failing.stdout, '-1 -1 11111111 1 11111111 1 22222222 1 22222222 0 22222222\n');
  assert.is(failing.stdout, runPlain(['failing']).stdout);
  const seen = failing.ring.calls.filter((c) => c.op === 'load').map((c) => Number(c.a));
  assert.equal(seen, [0x100, 0x100, 0x1100, 0x1100, 0x1100]);
  assert.is(failing.ring.lost[losses.MAPPED], 0);
});

test('a mapping that allows nothing at first is trapped, and a part has a protection of its own', () => {
  const protecting = runRecorded(['protecting'], { mmio: 'trap' });
  assert.is(protecting.stdout, '0 11111111 0 22222222 0 33333333 0\n');
  assert.is(protecting.stdout, runPlain(['protecting']).stdout);
  assert.is(protecting.signal, 'SIGSEGV', 'a store to what may only be read');
  const seen = protecting.ring.calls.filter((c) => c.op === 'load' || c.op === 'store');
  assert.equal(
    seen.map((c) => [c.op, Number(c.a)]),
    [
      ['load', 0x100],
      ['store', 0x200],
      ['store', 0x2200],
      ['load', 0x1200],
    ],
  );
  assert.is(protecting.ring.lost[losses.MAPPED], 0);
});

test('a register that is moved for a step is no other operand of the instruction', () => {
  const other = runRecorded(['operands'], { mmio: 'trap' });
  assert.is(other.stdout, '2 42 1 1\n');
  assert.is(other.stdout, runPlain(['operands']).stdout);
  assert.is(other.ring.calls.filter((c) => c.op === 'store' && Number(c.a) === 0x100).length, 3);
  assert.is(other.ring.lost[losses.MAPPED], 1, 'one opens the page');
});

test('signal handlers that touch trapped pages in the middle of steps, and that are left by longjmp', () => {
  const { stdout, stderr, ring: seen } = runRecorded(['interrupting'], { mmio: 'trap', quota: 256 << 20 });
  assert.is(stdout, '1 0 0 1\n');
  assert.is(stdout, runPlain(['interrupting']).stdout);
  const own = seen.calls.filter((c) => Number(c.a) === 0x4200 && (c.op === 'load' || c.op === 'store'));
  assert.ok(Number(stderr) >= 2000);
  assert.is(own.filter((c) => c.op === 'load').length, 2 * Number(stderr));
  assert.is(own.filter((c) => c.op === 'store').length, Number(stderr));
});

test('a handler of the program that blocks SIGSEGV may touch trapped pages, and a fault of its own is the end', () => {
  const own = runRecorded(['own-handler'], { mmio: 'trap' });
  const expected = runPlain(['own-handler']);
  assert.match(own.stdout, '[11 10 -1 14 blocked 1 1 0]after[11 11 ');
  assert.is(own.stdout, expected.stdout);
  assert.equal([own.signal, expected.signal], ['SIGSEGV', 'SIGSEGV']);
  assert.is(own.ring.calls.filter((c) => c.op === 'load').length, 5);
});

test.run();
