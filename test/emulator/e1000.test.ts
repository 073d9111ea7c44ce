// The 82540EM: its EEPROM clocked by hand, its PHY, and a frame sent that comes back.

import { suite } from 'uvu';
import { equal, is, ok } from 'uvu/assert';
import { profileOf } from '../../replayer/emulator/profiles/list.ts';
import { vfio_iommu_type1_dma_map } from '../../schema/container.ts';
import { fill, start } from './client.ts';

const [EECD, EERD, MDIC, ICR, IMS, RCTL, TCTL] = [0x10, 0x14, 0x20, 0xc0, 0xd0, 0x100, 0x400];
const [RDBAL, RDLEN, RDT, TDBAL, TDLEN, TDT] = [0x2800, 0x2808, 0x2818, 0x3800, 0x3808, 0x3818];
const [SK, CS, DI, DO] = [1, 2, 4, 8];
const CONFIG = 7;
const IOVA = 0x100000;

function setUp() {
  const it = start([{ profile: profileOf('e1000') }]);
  const read = (at: number): number => Number(it.client.load(it.device, 0, at));
  const write = (at: number, value: number) => is(it.client.store(it.device, 0, at, value >>> 0), 4);
  return { ...it, read, write };
}
const test = suite('e1000');

/** A word read as drivers do: opcode 110, six bits of address, sixteen of data, a clock each. */
function microwire({ read, write }: ReturnType<typeof setUp>, address: number): number {
  const clock = (bit: number): void => {
    write(EECD, CS | (bit ? DI : 0));
    write(EECD, CS | SK | (bit ? DI : 0));
    write(EECD, CS | (bit ? DI : 0));
  };
  write(EECD, CS);
  const command = (6 << 6) | address;
  for (let i = 8; i >= 0; i--) clock((command >> i) & 1);
  let word = 0;
  for (let i = 0; i < 16; i++) {
    write(EECD, CS | SK);
    word = (word << 1) | (read(EECD) & DO ? 1 : 0);
    write(EECD, CS);
  }
  write(EECD, 0);
  return word;
}

test('has an EEPROM whose words add up to 0xbaba, by hand and by EERD', () => {
  const it = setUp();
  let sum = 0;
  for (let i = 0; i < 64; i++) {
    it.write(EERD, 1 | (i << 8));
    const done = it.read(EERD);
    ok(done & 0x10);
    if (i < 3 || i === 63) is(microwire(it, i), done >>> 16, `word ${i}`);
    sum = (sum + (done >>> 16)) & 0xffff;
  }
  is(sum, 0xbaba);
});

test('has a PHY with a link at address 1 and none elsewhere', () => {
  const { read, write } = setUp();
  write(MDIC, (2 << 26) | (1 << 21) | (2 << 16));
  is(read(MDIC) & 0xffff, 0x141);
  write(MDIC, (2 << 26) | (1 << 21) | (1 << 16));
  ok(read(MDIC) & 4, 'link');
  write(MDIC, (2 << 26) | (3 << 21));
  ok(read(MDIC) & 0x40000000, 'error');
});

test('sends a frame by DMA, and receives it', () => {
  const { client, device, container, read, write } = setUp();
  const at = client.allocate(16384);
  const map = fill(vfio_iommu_type1_dma_map, { flags: 3, iova: IOVA, vaddr: at, size: 16384n });
  is(client.ioctl(container, 'VFIO_IOMMU_MAP_DMA', map), 0);
  client.store(device, CONFIG, 4, 7, 2);
  const frame = Buffer.from('ffffffffffff5254001234560800', 'hex');
  client.memory.write(at + 8192n, frame);
  const send = Buffer.alloc(16);
  send.writeBigUInt64LE(BigInt(IOVA + 8192));
  send.writeUInt16LE(frame.length, 8);
  send[11] = 0x09; // EOP, RS
  client.memory.write(at, send);
  const receive = Buffer.alloc(16);
  receive.writeBigUInt64LE(BigInt(IOVA + 12288));
  client.memory.write(at + 4096n, receive);
  write(RDBAL, IOVA + 4096);
  write(RDLEN, 128);
  write(RDT, 7);
  write(RCTL, 2);
  write(TDBAL, IOVA);
  write(TDLEN, 128);
  write(TCTL, 2);
  write(IMS, 0x80);
  write(TDT, 1);
  is((client.memory.read(at, 16) as Buffer)[12], 1, 'sent');
  const came = client.memory.read(at + 4096n, 16) as Buffer;
  equal([came.readUInt16LE(8), came[12]], [frame.length, 3]);
  ok(client.memory.read(at + 12288n, frame.length)?.equals(frame));
  ok(read(ICR) & 0x80);
  is(read(ICR), 0, 'cleared by reading');
});
test.run();
