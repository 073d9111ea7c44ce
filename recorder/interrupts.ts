// Which eventfd is signalled for what: SET_IRQS, IOEVENTFD and wakeups, followed through the trace. Where the kernel takes
// signals or writes by itself (KVM's irqfd and ioeventfd, VFIO's ioeventfd), the trace lacks them, and here that is said.

import type Database from 'better-sqlite3';
import { request as requestOf } from '../schema/call.ts';
import {
  FEATURE_MASK,
  featureOps,
  irqSetFlags,
  pciIrqs,
  vfio_device_feature,
  vfio_device_ioeventfd,
  vfio_irq_set,
} from '../schema/device.ts';
import { ops } from '../schema/event.ts';
import { features } from '../schema/features.ts';
import { kvm_ioeventfd, kvm_irqfd, kvmCalls, kvmIoeventfdFlags, kvmIrqfdFlags } from '../schema/kvm.ts';
import { fieldOf, type Struct } from '../schema/layout.ts';
import { calls } from '../schema/surface.ts';
import { Payloads } from '../traces/payloads.ts';
import type { Step, Table } from './links.ts';

interface Armed {
  readonly device: number;
  /** IRQ index and subindex; null: not by SET_IRQS. */
  readonly idx: number | null;
  readonly vector: number | null;
  readonly action: number | null;
  readonly eventfd: number;
  readonly first: number;
  last: number | null;
  /** IOEVENTFD: offset and width of the write that the kernel does. */
  readonly write?: { readonly offset: bigint; readonly width: number };
}
interface Route {
  readonly eventfd: number;
  readonly how: string;
  readonly first: number;
  last: number | null;
}

const numberOf = (name: string): number => requestOf(calls.find((c) => c.name === name)?.nr ?? 0);
const SET_IRQS = numberOf('VFIO_DEVICE_SET_IRQS');
const IOEVENTFD = numberOf('VFIO_DEVICE_IOEVENTFD');
const FEATURE = numberOf('VFIO_DEVICE_FEATURE');
export const interruptRequests: readonly number[] = [SET_IRQS, IOEVENTFD, FEATURE];

const featureId = (name: string): number => features.find((f) => f.name === name)?.id ?? 0;
const WAKEUP = featureId('LOW_POWER_ENTRY_WITH_WAKEUP');
const AWAKE = featureId('LOW_POWER_EXIT');

const u32 = (layout: Struct, bytes: Buffer, name: string): number => bytes.readUInt32LE(fieldOf(layout, name).at);
const s32 = (layout: Struct, bytes: Buffer, name: string): number => bytes.readInt32LE(fieldOf(layout, name).at);
const u64 = (layout: Struct, bytes: Buffer, name: string): bigint => bytes.readBigUInt64LE(fieldOf(layout, name).at);

export class Interrupts {
  readonly #db: Database.Database;
  readonly #payloads: Payloads;
  readonly #armed: Armed[] = [];
  /** What is armed now, by device and what it is for. */
  readonly #live = new Map<string, Armed>();
  readonly #routes: Route[] = [];
  readonly #open = new Map<string, Route>();

  constructor(db: Database.Database) {
    this.#db = db;
    this.#payloads = new Payloads(db.name, db);
  }

  readonly see = (step: Step, table: Table): void => {
    const bytes = step.inp === null ? null : this.#payloads.get(step.inp);
    if (!bytes || step.ret === null || step.ret < 0) return;
    try {
      if (step.op === ops.kvm) this.#kvm(step, bytes, table);
      else if (step.request === SET_IRQS) this.#setIrqs(step, bytes, table);
      else if (step.request === IOEVENTFD) this.#ioeventfd(step, bytes, table);
      else this.#feature(step, bytes, table);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error; // an argument that was not kept to its end
    }
  };

  #setIrqs(step: Step, bytes: Buffer, table: Table): void {
    const [flags, idx, start, count] = ['flags', 'index', 'start', 'count'].map((f) => u32(vfio_irq_set, bytes, f)) as [
      number,
      number,
      number,
      number,
    ];
    const action = flags & (irqSetFlags.ACTION_MASK | irqSetFlags.ACTION_UNMASK | irqSetFlags.ACTION_TRIGGER);
    const key = (vector: number): string => `${step.handle}:${idx}:${vector}:${action}`;
    if (flags & irqSetFlags.DATA_NONE && count === 0 && action === irqSetFlags.ACTION_TRIGGER) {
      for (const [k, a] of this.#live) if (a.device === step.handle && a.idx === idx) this.#disarm(k, step.id);
    } else if (flags & irqSetFlags.DATA_EVENTFD) {
      for (let i = 0; i < count; i++) {
        const fd = bytes.readInt32LE(vfio_irq_set.size + 4 * i);
        const vector = start + i;
        this.#arm(key(vector), fd, table, { device: step.handle, idx, vector, action, first: step.id });
      }
    }
  }

  #ioeventfd(step: Step, bytes: Buffer, table: Table): void {
    const [offset, data] = ['offset', 'data'].map((f) => u64(vfio_device_ioeventfd, bytes, f)) as [bigint, bigint];
    const width = u32(vfio_device_ioeventfd, bytes, 'flags');
    this.#arm(`${step.handle}:${offset}:${data}:${width}`, s32(vfio_device_ioeventfd, bytes, 'fd'), table, {
      ...{ device: step.handle, idx: null, vector: null, action: null, first: step.id },
      write: { offset, width },
    });
  }

  #feature(step: Step, bytes: Buffer, table: Table): void {
    const flags = u32(vfio_device_feature, bytes, 'flags');
    const id = flags & FEATURE_MASK;
    if (!(flags & featureOps.SET) || flags & featureOps.PROBE || (id !== WAKEUP && id !== AWAKE)) return;
    const fd = id === WAKEUP ? bytes.readInt32LE(vfio_device_feature.size) : -1;
    const at = { device: step.handle, idx: null, vector: null, action: null, first: step.id };
    this.#arm(`${step.handle}:wakeup`, fd, table, at);
  }

  #kvm(step: Step, bytes: Buffer, table: Table): void {
    const irqfd = BigInt(step.a ?? 0) === BigInt(kvmCalls[0].request);
    const layout = irqfd ? kvm_irqfd : kvm_ioeventfd;
    const flags = u32(layout, bytes, 'flags');
    const gives = !(flags & (irqfd ? kvmIrqfdFlags.DEASSIGN : kvmIoeventfdFlags.DEASSIGN));
    const how = irqfd
      ? `handed to KVM by irqfd (GSI ${u32(kvm_irqfd, bytes, 'gsi')})`
      : `taken by KVM for writes at guest address 0x${u64(kvm_ioeventfd, bytes, 'addr').toString(16)}`;
    this.#route(step, table.get(s32(layout, bytes, 'fd')), how, gives);
    if (irqfd && flags & kvmIrqfdFlags.RESAMPLE)
      this.#route(step, table.get(s32(layout, bytes, 'resamplefd')), 'signalled by KVM (resample)', gives);
  }

  #route(step: Step, eventfd: number | undefined, how: string, gives: boolean): void {
    if (eventfd === undefined) return;
    const key = `${step.fd}:${eventfd}`;
    const open = this.#open.get(key);
    if (open && !gives) {
      open.last = step.id;
      this.#open.delete(key);
    } else if (gives) {
      const route: Route = { eventfd, how, first: step.id, last: null };
      this.#routes.push(route);
      this.#open.set(key, route);
    }
  }

  #arm(key: string, fd: number, table: Table, what: Omit<Armed, 'eventfd' | 'last'>): void {
    this.#disarm(key, what.first);
    const eventfd = fd < 0 ? undefined : table.get(fd);
    if (eventfd === undefined) return;
    const armed: Armed = { ...what, eventfd, last: null };
    this.#armed.push(armed);
    this.#live.set(key, armed);
  }

  #disarm(key: string, event: number): void {
    const armed = this.#live.get(key);
    if (armed) armed.last = event;
    this.#live.delete(key);
  }

  /** Fills the table `armed`; says what bypassed the trace, a sentence each. The handles must have aliases and names. */
  store(): string[] {
    const handles = this.#db.prepare('SELECT id, coalesce(alias, id) AS is_, name, path, closed FROM handle').all() as {
      id: number;
      is_: number;
      name: string | null;
      path: string | null;
      closed: number | null;
    }[];
    const byId = new Map(handles.map((h) => [h.id, h]));
    const same = (handle: number): number => byId.get(handle)?.is_ ?? handle;
    this.#db.exec('DELETE FROM armed');
    const insert = this.#db.prepare('INSERT INTO armed VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)');
    const missed: string[] = [];
    for (const a of this.#armed) {
      const device = same(a.device);
      const last = a.last ?? byId.get(device)?.closed ?? null;
      const name = byId.get(device)?.name ?? byId.get(device)?.path ?? `device of handle ${device}`;
      const bypasses = this.#routes
        .filter(
          (r) => same(r.eventfd) === same(a.eventfd) && r.first < (last ?? Infinity) && a.first < (r.last ?? Infinity),
        )
        .map((r) => `${r.how} ${span(Math.max(r.first, a.first), earlier(r.last, last))}`);
      if (a.write) bypasses.unshift(`done by the kernel when the eventfd is signalled, ${span(a.first, last)}`);
      const bypass = bypasses.join('; ') || null;
      insert.run(device, a.idx, a.vector, a.action, same(a.eventfd), a.first, last, bypass);
      if (bypass === null) continue;
      missed.push(
        a.write
          ? `writes of ${a.write.width} bytes at ${this.#place(device, a.write.offset)} of ${name}: ${bypass}: they are not in the trace`
          : `${irqText(a)} of ${name}: ${bypass}: its signals are not in the trace`,
      );
    }
    return missed;
  }

  #place(device: number, offset: bigint): string {
    const row = this.#db
      .prepare('SELECT idx, offset FROM region WHERE handle = ? AND offset <= ? AND ? - offset < size')
      .get(device, offset, offset) as { idx: number; offset: number } | undefined;
    const at = `0x${(row ? offset - BigInt(row.offset) : offset).toString(16)}`;
    return row ? `region ${row.idx}+${at}` : at;
  }
}

const span = (first: number, last: number | null): string =>
  `from event ${first} to ${last === null ? 'the end' : last}`;
const earlier = (a: number | null, b: number | null): number | null =>
  a === null || b === null ? (a ?? b) : Math.min(a, b);

function irqText(a: Armed): string {
  if (a.idx === null) return 'wakeup';
  const name = Object.entries(pciIrqs).find(([, n]) => n === a.idx)?.[0] ?? `IRQ ${a.idx}`;
  const what =
    a.action === irqSetFlags.ACTION_TRIGGER ? '' : a.action === irqSetFlags.ACTION_MASK ? ' (mask)' : ' (unmask)';
  return `${name === 'MSIX' ? 'MSI-X' : name} ${a.vector}${what}`;
}
