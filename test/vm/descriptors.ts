// Which open file a descriptor number means in which process: followed through the calls that make, copy, pass on and
// close descriptors, from the kernel's own account of them alone.

export interface OpenFile {
  /** Made by open(2), so perhaps VFIO's; by a call that makes files of another kind; or it came unseen. */
  readonly from: 'open' | 'other' | 'unseen';
  /** A call has shown that it is VFIO's or iommufd's. */
  vfio: boolean;
  /** It was read, written, mapped or given a request. */
  used: boolean;
}

export const newFile = (from: OpenFile['from'], vfio = false): OpenFile => ({ from, vfio, used: false });

/** An opened file that was used, but never by a request of VFIO's, is none of VFIO's. */
export const isForeign = (file: OpenFile): boolean =>
  !file.vfio && (file.from === 'other' || (file.from === 'open' && file.used));

interface Entry {
  file: OpenFile;
  closedByExec: boolean;
}

interface Table {
  entries: Map<number, Entry>;
  /** A device feature was called, which can make a descriptor without its number being told to a tracer … */
  features: boolean;
  /** … and so has a call that makes files of other kinds that way: sockets and pipes in pairs, what a message brings. */
  others: boolean;
}

/** clone(2) */
const CLONE_FILES = 0x400;
/** close_range(2) */
const CLOSE_RANGE_CLOEXEC = 4;

export class Descriptors {
  readonly #tables = new Map<number, Table>();

  #of(tid: number): Table {
    let table = this.#tables.get(tid);
    if (!table) {
      table = { entries: new Map(), features: false, others: false };
      this.#tables.set(tid, table);
    }
    return table;
  }

  /** The file that a number means; one that came unseen is entered as an unknown one. */
  file(tid: number, fd: number): OpenFile {
    const table = this.#of(tid);
    const known = table.entries.get(fd);
    if (known) return known.file;
    const file = fd > 2 ? newFile('unseen', table.features && !table.others) : newFile('other');
    table.entries.set(fd, { file, closedByExec: false });
    return file;
  }

  made(tid: number, fd: number, file: OpenFile, closedByExec: boolean): void {
    this.#of(tid).entries.set(fd, { file, closedByExec });
  }

  closed(tid: number, first: number, last = first, how = 0): void {
    for (const [fd, entry] of this.#of(tid).entries)
      if (fd >= first && fd <= last) {
        if (how & CLOSE_RANGE_CLOEXEC) entry.closedByExec = true;
        else this.#of(tid).entries.delete(fd);
      }
  }

  setClosedByExec(tid: number, fd: number, closedByExec: boolean): void {
    const entry = this.#of(tid).entries.get(fd);
    if (entry) entry.closedByExec = closedByExec;
  }

  madeUnseen(tid: number, by: 'feature' | 'other'): void {
    if (by === 'feature') this.#of(tid).features = true;
    else this.#of(tid).others = true;
  }

  forked(parent: number, child: number, flags: number): void {
    this.#tables.set(child, flags & CLONE_FILES ? this.#of(parent) : copy(this.#of(parent)));
  }

  executed(tid: number): void {
    const table = copy(this.#of(tid));
    // Of what came unseen it is not known either whether it outlives an exec.
    for (const [fd, entry] of table.entries)
      if (entry.closedByExec || entry.file.from === 'unseen') table.entries.delete(fd);
    this.#tables.set(tid, table);
  }
}

const copy = (table: Table): Table => ({
  ...table,
  entries: new Map([...table.entries].map(([fd, entry]) => [fd, { ...entry }])),
});
