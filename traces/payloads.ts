// The bytes of a trace: unpacked, checked, and the small ones kept, because many events share them.

import type Database from 'better-sqlite3';
import { TraceError } from '../schema/errors.ts';
import { PAYLOAD_MAX } from '../schema/event.ts';
import { codecs } from '../schema/trace.ts';
import type { Row } from './entities.ts';
import { unpack } from './pack.ts';

/** Bytes up to which a payload is kept, and how many are. */
const SMALL = 4096;
const KEPT = 4096;

export class Payloads {
  readonly #path: string;
  readonly #select: Database.Statement;
  readonly #small = new Map<number, Buffer | null>();

  constructor(path: string, db: Database.Database) {
    this.#path = path;
    this.#select = db.prepare('SELECT size, codec, data FROM payload WHERE id = ?');
  }

  /** null: the bytes were not kept. */
  get(id: number): Buffer | null {
    const known = this.#small.get(id);
    if (known !== undefined) return known;
    const bytes = this.#unpacked(id);
    if (!bytes || bytes.length <= SMALL) {
      if (this.#small.size >= KEPT) this.#small.clear();
      this.#small.set(id, bytes);
    }
    return bytes;
  }

  /** Bytes there were, kept or not. */
  size(id: number): number {
    return Number((this.#select.get(id) as Row | undefined)?.size ?? 0);
  }

  #unpacked(id: number): Buffer | null {
    const row = this.#select.get(id) as Row | undefined;
    const wrong = (what: string): TraceError => new TraceError('CORRUPT', `${this.#path}: payload ${id} ${what}`);
    if (!row) throw wrong('is missing');
    if (row.codec === codecs.HASH || row.codec === codecs.NONE) return null;
    const size = Number(row.size);
    if (!Number.isInteger(size) || size < 0 || size > PAYLOAD_MAX) throw wrong(`claims ${row.size} bytes`);
    const data = row.data === null && size === 0 ? Buffer.alloc(0) : row.data;
    if (!Buffer.isBuffer(data)) throw wrong('has no bytes');
    if (row.codec === codecs.LZ4) {
      try {
        return unpack(data, size);
      } catch (error) {
        throw wrong(`is damaged: ${(error as Error).message}`);
      }
    }
    if (row.codec !== codecs.RAW) throw wrong(`is packed in a way (${row.codec}) that this vfio-rr does not know`);
    if (data.length !== size) throw wrong(`has ${data.length} of its ${size} bytes`);
    return data;
  }
}
