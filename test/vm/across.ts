// What two kernels do differently for the same program, and a matrix over three: judged by a list of what is known of the
// kernels, whose sources are named. Runs on the host, on the traces that the boots carried out.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { runMatrix } from '../../replayer/matrix/matrix.ts';
import { tableText } from '../../replayer/matrix/table.ts';
import { leaves } from '../../schema/decode.ts';
import { irqFlags, pciIrqs } from '../../schema/device.ts';
import { layoutOf } from '../../traces/compare.ts';
import { diffTraces } from '../../traces/diff/diff.ts';
import { openTrace } from '../../traces/trace.ts';
import { type Job, Skip } from './job.ts';
import { type Carried, carried } from './jobs-kernels.ts';

type Kernel = '6.1' | '6.12' | '7.2';

/** An answer that newer kernels give otherwise than 6.1. */
interface Known {
  readonly call: string;
  /** The call's `index`, - when it has none. */
  readonly index: number | '-';
  readonly field: string;
  readonly from: string;
  readonly to: string;
  /** Which of the kernels here answer so. */
  readonly on: readonly Kernel[];
  readonly source: string;
}

const hex = (n: number): string => `0x${n.toString(16)}`;

/** By client. Whatever is not here must be the same. */
const known: Readonly<Record<string, readonly Known[]>> = {
  'edu-group': [],
  e1000e: [
    {
      ...{ call: 'VFIO_DEVICE_GET_IRQ_INFO', index: pciIrqs.MSIX, field: 'flags' },
      ...{ from: hex(irqFlags.EVENTFD | irqFlags.NORESIZE), to: hex(irqFlags.EVENTFD), on: ['6.12', '7.2'] },
      source: 'Linux 6.5, commit 6c8017c6a58d, vfio/pci: Clear VFIO_IRQ_INFO_NORESIZE for MSI-X',
    },
    {
      ...{ call: 'VFIO_CHECK_EXTENSION', index: '-', field: 'result', from: '1', to: '0', on: ['7.2'] },
      source: 'Linux 6.13, vfio: Remove VFIO_TYPE1_NESTING_IOMMU',
    },
  ],
};

const line = (call: string, index: unknown, field: string | null, from: string | null, to: string | null): string =>
  `${call} ${index} ${field ?? ''}: ${from} → ${to}`;
const expected = (client: string, kernel: Kernel): string[] =>
  (known[client] ?? []).filter((k) => k.on.includes(kernel)).map((k) => line(k.call, k.index, k.field, k.from, k.to));

/** The `index` that an event's argument names. */
function indexOf(path: string, id: number | null): unknown {
  const trace = openTrace(path);
  try {
    const e = id === null ? undefined : trace.event(id);
    const layout = e && layoutOf(e);
    return e?.input && layout ? [...leaves(layout, e.input)].find((l) => l.path === 'index')?.value : '-';
  } finally {
    trace.close();
  }
}

function expectLines(found: readonly string[], wanted: readonly string[], told = ''): void {
  const [more, less] = [found.filter((x) => !wanted.includes(x)), wanted.filter((x) => !found.includes(x))];
  if (more.length) throw new Error(`not known of these kernels: ${more.join('; ')}${told}`);
  if (less.length) throw new Error(`known of these kernels, but not found: ${less.join('; ')}${told}`);
}

function differences(a: string, b: string): string[] {
  const { differences: found } = diffTraces({ a, b, masks: [], learn: [], timing: false });
  return [...found.byKind.values()].flat().map((d) => line(d.call, indexOf(a, d.a), d.field, d.expected, d.actual));
}

/** The first boot's recording and the last one's, by where they were put: FOLDER/BOOT/CLIENT-RUN.vrr. */
export function acrossJobs(folder: string, boots: readonly [string, string], jobs: number): Job[] {
  const trace = (boot: string, client: Carried, run = 1): string => {
    const path = join(folder, boot, `${client.name}-${run}.vrr`);
    if (!existsSync(path)) throw new Skip(`${boot} left no recording of ${client.name}`);
    return path;
  };
  const [old, young] = boots;
  return [
    ...boots.flatMap((boot) =>
      carried.map((c) => ({
        name: `${c.name} twice on ${boot}: no differences`,
        run: () => expectLines(differences(trace(boot, c), trace(boot, c, 2)), []),
      })),
    ),
    ...carried.map((c) => ({
      name: `${c.name} on ${old} and on ${young}: what is known of them differs, and nothing else`,
      run: () => expectLines(differences(trace(old, c), trace(young, c)), expected(c.name, '7.2')),
    })),
    {
      name: 'matrix of the e1000e over 6.1, 6.12 and 7.2: the same in its table',
      run: () => matrix(trace(old, carried.find((c) => c.name === 'e1000e') as Carried), jobs),
    },
  ];
}

async function matrix(path: string, jobs: number): Promise<void> {
  const out = mkdtempSync(join(tmpdir(), 'vfio-rr-matrix-'));
  try {
    const table = await runMatrix({
      ...{
        trace: path,
        kernels: ['6.1', '6.12', '7.2'],
        devices: [],
        masks: [],
        cell: null,
        out,
        jobs,
        limit: 150,
        force: false,
      },
      onCell: () => undefined,
    });
    const told = `\n${tableText(table)}`;
    for (const k of table.kernels) if (k.problem) throw new Error(`${k.name}: ${k.problem}`);
    for (const kernel of ['6.1', '6.12', '7.2'] as const) {
      const rows = table.rows.filter((r) => r.cells[kernel]);
      const lines = rows.map((r) =>
        line(r.call, indexOf(path, r.event), r.field, r.recorded, r.cells[kernel]?.value ?? null),
      );
      expectLines(lines, expected('e1000e', kernel), told);
    }
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}
