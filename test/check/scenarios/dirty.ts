// R49 to R53, R64.

import { dirtyPagesFlags, dmaMapFlags } from '../../../schema/container.ts';
import { type Act, address, close, errno, feature, fill, ioctl, memory, read, type Scenario } from '../scenario.ts';
import { one, opened, setState, V2, v2Opened } from './setup.ts';

const PAGE = 4096;
const base = { devices: one('v2-full') };
const SIZE = 1 << 20;
const map: Act[] = [
  memory('ram', SIZE),
  ioctl('c', 'VFIO_IOMMU_MAP_DMA', {
    flags: dmaMapFlags.READ | dmaMapFlags.WRITE,
    vaddr: address('ram'),
    iova: 0n,
    size: BigInt(SIZE),
  }),
];
function ranges(list: readonly (readonly [number, number])[]): Buffer {
  const b = Buffer.alloc(16 * list.length);
  list.forEach(([iova, length], i) => {
    b.writeBigUInt64LE(BigInt(iova), 16 * i);
    b.writeBigUInt64LE(BigInt(length), 16 * i + 8);
  });
  return b;
}
const start = (more: { fails?: string } = {}, count = 1): Act =>
  feature('d', 'SET', 'DMA_LOGGING_START', { page_size: PAGE, num_ranges: count, ranges: address('ranges') }, more);
const stop = (more: { fails?: string } = {}): Act => feature('d', 'SET', 'DMA_LOGGING_STOP', {}, more);
const report = (more: Parameters<typeof feature>[4] = {}): Act =>
  feature(
    'd',
    'GET',
    'DMA_LOGGING_REPORT',
    { iova: 0, length: SIZE, page_size: PAGE, bitmap: address('bitmap') },
    more,
  );
const BITMAP = SIZE / PAGE / 8;
const logging: Act[] = [
  ...v2Opened,
  ...map,
  memory('ranges', PAGE, ranges([[0, SIZE]])),
  memory('bitmap', BITMAP),
  start(),
];
const withRanges = (list: readonly (readonly [number, number])[], fails?: string): Act[] => [
  ...v2Opened,
  memory('ranges', 8192, ranges(list)),
  start(fails ? { fails } : {}, list.length),
];
const many = Array.from({ length: 257 }, (_, i): [number, number] => [i * 2 * PAGE, PAGE]);
const drain: Act[] = [read('s', SIZE), read('s', SIZE)];
const zero = fill('bitmap', Buffer.alloc(BITMAP));
const ones = Buffer.alloc(BITMAP, 0xff);
const REPORT_BITMAP = 32; // of struct vfio_device_feature with its data

const dirtyPages = (flags: number, more: Parameters<typeof ioctl>[3] = {}): Act =>
  ioctl('c', 'VFIO_IOMMU_DIRTY_PAGES', { flags }, more);
const { START, STOP, GET_BITMAP } = dirtyPagesFlags;
const getBitmap = (pgsize: number, size: number, more: { fails?: string } = {}): Act => ({
  ...(ioctl('c', 'VFIO_IOMMU_DIRTY_PAGES', { flags: GET_BITMAP }, more) as Extract<Act, { act: 'ioctl' }>),
  data: { iova: 0, size: SIZE, pgsize, bitmap_size: size, data: address('bitmap') },
});
const iommuInfo = ioctl('c', 'VFIO_IOMMU_GET_INFO', {}, { argsz: 256 });
const tracking: Act[] = [...opened, iommuInfo, ...map, memory('bitmap', BITMAP)];

export const dirty: Scenario[] = [
  {
    ...base,
    rule: 'R49',
    name: 'started twice',
    acts: [...logging, start({ fails: 'EINVAL' })],
    finds: [{ rule: 'R49', says: /although it is on/ }],
  },
  {
    ...base,
    rule: 'R49',
    name: 'reported while off',
    acts: [...logging, stop(), report({ fails: 'EINVAL' })],
    finds: [{ rule: 'R49', says: /logging is off/ }],
  },
  {
    ...base,
    rule: 'R49',
    name: 'left on',
    acts: [...logging, close('d')],
    finds: [{ rule: 'R49', says: /closed with DMA logging on/ }],
  },
  { ...base, rule: 'R49', name: 'start, report, stop', acts: [...logging, report(), stop()], finds: [] },
  {
    ...base,
    rule: 'R50',
    name: 'no range',
    acts: [...v2Opened, memory('ranges', PAGE), start({ fails: 'EINVAL' }, 0)],
    finds: [{ rule: 'R50', says: /no range/ }],
  },
  {
    ...base,
    rule: 'R50',
    name: 'too many ranges',
    acts: withRanges(many, 'E2BIG'),
    finds: [{ rule: 'R50', says: /257 ranges/ }],
  },
  {
    ...base,
    rule: 'R50',
    name: 'not aligned',
    acts: withRanges([[512, PAGE]], 'EINVAL'),
    finds: [{ rule: 'R50', says: /not aligned/ }],
  },
  {
    ...base,
    rule: 'R50',
    name: 'overlapping',
    acts: withRanges(
      [
        [0, 2 * PAGE],
        [PAGE, PAGE],
      ],
      'EINVAL',
    ),
    finds: [{ rule: 'R50', says: /overlaps/ }],
  },
  {
    ...base,
    rule: 'R50',
    name: 'two ranges',
    acts: withRanges([
      [0, PAGE],
      [PAGE, PAGE],
    ]),
    finds: [],
  },
  {
    ...base,
    rule: 'R51',
    name: 'a bitmap with old bits',
    acts: [...logging, fill('bitmap', ones), report(), stop()],
    finds: [{ rule: 'R51', says: /before the call/ }],
  },
  {
    ...{ ...base, rule: 'R51', name: 'the kernel clears bits' },
    acts: [
      ...logging,
      fill('bitmap', ones),
      report({ lie: { kind: 'memory', at: REPORT_BITMAP, bytes: Buffer.alloc(BITMAP) } }),
    ],
    finds: [
      { rule: 'R51', says: /before the call/ },
      { rule: 'R51', who: 'driver', says: /clears bits/ },
    ],
  },
  { ...base, rule: 'R51', name: 'a zeroed bitmap', acts: [...logging, report(), zero, report(), stop()], finds: [] },
  {
    ...{ ...base, rule: 'R52', name: 'goes on after an error' },
    acts: [...logging, report({ fails: 'EIO', lie: errno('EIO') }), setState(V2.STOP_COPY, 's')],
    finds: [{ rule: 'R52', level: 'SHOULD', says: /goes on to STOP_COPY/ }],
  },
  {
    ...{ ...base, rule: 'R52', name: 'gives up after an error' },
    acts: [
      ...logging,
      setState(V2.PRE_COPY, 's'),
      report({ fails: 'EIO', lie: errno('EIO') }),
      setState(V2.RUNNING),
      close('s'),
      stop(),
    ],
    finds: [],
  },
  {
    ...{ ...base, rule: 'R53', name: 'no report after the device has stopped' },
    acts: [...logging, report(), setState(V2.STOP_COPY, 's'), ...drain, setState(V2.STOP), stop()],
    finds: [{ rule: 'R53', says: /while the device ran/ }],
  },
  {
    ...{ ...base, rule: 'R53', name: 'a report after the device has stopped' },
    acts: [...logging, setState(V2.STOP_COPY, 's'), report(), ...drain, setState(V2.STOP), stop()],
    finds: [],
  },
  {
    ...base,
    rule: 'R64',
    name: 'two flags',
    acts: [...tracking, dirtyPages(START | STOP, { fails: 'EINVAL' })],
    finds: [{ rule: 'R64', says: /flags 0x3/ }],
  },
  {
    ...base,
    rule: 'R64',
    name: 'not tracking',
    acts: [...tracking, getBitmap(PAGE, BITMAP, { fails: 'EINVAL' })],
    finds: [{ rule: 'R64', says: /not tracked/ }],
  },
  {
    ...base,
    rule: 'R64',
    name: 'large pages',
    acts: [...tracking, dirtyPages(START), getBitmap(2 << 20, 8, { fails: 'EINVAL' })],
    finds: [{ rule: 'R64', says: /smallest IOMMU page is 4096/ }],
  },
  {
    ...base,
    rule: 'R64',
    name: 'small bitmap',
    acts: [...tracking, dirtyPages(START), getBitmap(PAGE, 8, { fails: 'EINVAL' })],
    finds: [{ rule: 'R64', says: /needs a bitmap of 32 bytes/ }],
  },
  {
    ...base,
    rule: 'R64',
    name: 'start, get, stop',
    acts: [...tracking, dirtyPages(START), getBitmap(PAGE, BITMAP), dirtyPages(STOP)],
    finds: [],
  },
];
