// The judge of completeness must itself be right: what it takes from strace's output, and that it sees every difference.
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { difference, straceCalls } from '../vm/strace.ts';

const test = suite('strace as a judge');

const LOG = `
131   openat(-100</work>, "/dev/vfio/vfio", 0x2) = 3</dev/vfio/vfio>
131   openat(-100</work>, "/etc/passwd", 0) = 4</etc/passwd>
131   read(4</etc/passwd>, ""..., 100)   = 24
131   ioctl(3</dev/vfio/vfio>, 0x3b64, 0) = 0
131   ioctl(9, 0x3b64, 0) = -1 EBADF (Bad file descriptor)
131   ioctl(5<anon_inode:[vfio-device]>, 0x3b6c, 0x7ffe831d0760) = -1 EINVAL (Invalid argument)
131   ioctl(4</dev/vfio/4>, 0x3b6a, 0x7ffe831d0881) = 5
132   pread64(5<anon_inode:[vfio-device]>,  <unfinished ...>
131   mmap(NULL, 4096, 0x3, 0x1, 5<anon_inode:[vfio-device]>, 0) = 0x7f76bbf7d000
132   <... pread64 resumed>""..., 4, 36) = 4
131   read(4<anon_inode:mtty_mig>, "a = b"..., 100) = 24
131   preadv2(5<anon_inode:[vfio-device]>, [{iov_base=""..., iov_len=2}], 1, 0, 0) = 2
131   dup2(3</dev/vfio/vfio>, 200)      = 200</dev/vfio/vfio>
132   read(4<anon_inode:mtty_mig>,  <unfinished ...>
132   +++ killed by SIGKILL +++
131   fcntl(3</dev/vfio/vfio>, 0x406, 301) = 301</dev/vfio/vfio>
131   fcntl(3</dev/vfio/vfio>, 0x2, 0)  = 0
131   close(3</dev/vfio/vfio>)          = 0
`;

test('takes the calls on VFIO files and no others', () => {
  const calls = straceCalls(LOG);
  assert.equal(
    calls.map((c) => [c.tid, c.op, c.fd, c.request, c.ret]),
    [
      [131, 'open', null, null, 3],
      [131, 'ioctl', 3, 0x3b64, 0],
      [131, 'ioctl', 5, 0x3b6c, -22],
      [131, 'ioctl', 4, 0x3b6a, 5],
      [132, 'pread', 5, null, 4],
      [131, 'mmap', 5, null, 0x7f76bbf7d000],
      [131, 'read', 4, null, 24],
      [131, 'pread', 5, null, 2],
      [131, 'dup', 3, null, 200],
      [132, 'read', 4, null, null],
      [131, 'dup', 3, null, 301],
      [131, 'close', 3, null, 0],
    ],
  );
});

test('finds a call that is lost, one too many, another result, another order', () => {
  const calls = straceCalls(LOG);
  assert.is(difference(calls, straceCalls(LOG)), null);
  calls.forEach((call, i) => {
    assert.ok(difference(calls, calls.toSpliced(i, 1)), `call ${i} left out`);
    assert.ok(difference(calls.toSpliced(i, 1), calls), `call ${i} too many`);
    assert.ok(difference(calls, calls.with(i, { ...call, ret: -999 })), `call ${i} with another result`);
  });
  const turned = [...calls.slice(0, 1), ...calls.slice(1, 3).reverse(), ...calls.slice(3)];
  assert.ok(difference(calls, turned), 'two calls the other way round');
});

test('calls of two threads may stand in any order', () => {
  const calls = straceCalls(LOG);
  assert.is(difference(calls, [...calls.filter((c) => c.tid === 132), ...calls.filter((c) => c.tid === 131)]), null);
});

test.run();
