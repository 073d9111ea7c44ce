// Which QEMU device model stands for a recorded device, by its PCI ids. QEMU: docs/specs/pci-ids.rst, hw/net/e1000.c,
// hw/net/igb.c, hw/nvme/ctrl.c, hw/misc/edu.c.

export interface Model {
  readonly vendor: number;
  readonly device: number;
  /** -device argument, without its address; null: boot.sh always has one, at 0000:00:04.0. */
  readonly argument: string | null;
}

export const models: readonly Model[] = [
  { vendor: 0x1234, device: 0x11e8, argument: null },
  { vendor: 0x8086, device: 0x100e, argument: 'e1000,romfile=' },
  { vendor: 0x8086, device: 0x10d3, argument: 'e1000e,romfile=' },
  { vendor: 0x8086, device: 0x10c9, argument: 'igb,romfile=' },
  { vendor: 0x1b36, device: 0x0010, argument: 'nvme,serial=vfio-rr' },
];

export const modelOf = (vendor: number, device: number): Model | undefined =>
  models.find((m) => m.vendor === vendor && m.device === device);
