// The two KVM requests that take an eventfd out of the program's hands: what is signalled through it then passes between
// the device and the guest inside the kernel. linux/kvm.h, Documentation/virt/kvm/api.rst 4.59 and 4.75.

import { address, bits, fd, hex, reserved, s32, struct, u8, u32, u64 } from './layout.ts';

export const KVM_TYPE = 0xae;

/** A guest's interrupt `gsi` for each signal of `fd`; with RESAMPLE, KVM signals `resamplefd` when the guest acknowledges. */
export const kvm_irqfd = struct('kvm_irqfd', {
  fd: s32('in', fd('eventfd')),
  gsi: u32('in'),
  flags: u32('in', bits('KVM_IRQFD_FLAG_', { DEASSIGN: 1, RESAMPLE: 2 })),
  resamplefd: u32('in', fd('eventfd')),
  pad: u8('in', { ...reserved, count: 16 }),
});
export const kvmIrqfdFlags = { DEASSIGN: 1, RESAMPLE: 2 } as const;

/** A guest's write at `addr` becomes a signal of `fd`. */
export const kvm_ioeventfd = struct('kvm_ioeventfd', {
  datamatch: u64('in', hex),
  addr: u64('in', address),
  len: u32('in'),
  fd: s32('in', fd('eventfd')),
  flags: u32('in', bits('KVM_IOEVENTFD_FLAG_', { DATAMATCH: 1, PIO: 2, DEASSIGN: 4, VIRTIO_CCW_NOTIFY: 8 })),
  pad: u8('in', { ...reserved, count: 36 }),
});
export const kvmIoeventfdFlags = { DATAMATCH: 1, PIO: 2, DEASSIGN: 4 } as const;

/** `_IOW(KVMIO, nr, struct)`: direction and size are in the number. */
const iow = (nr: number, size: number): number => (1 << 30) + (size << 16) + (KVM_TYPE << 8) + nr;

export const kvmCalls = [
  { name: 'KVM_IRQFD', request: iow(0x76, kvm_irqfd.size), layout: kvm_irqfd },
  { name: 'KVM_IOEVENTFD', request: iow(0x79, kvm_ioeventfd.size), layout: kvm_ioeventfd },
] as const;
