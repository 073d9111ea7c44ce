// A bar on a terminal for what takes over a second.

import type { Io } from './io.ts';

const PATIENCE = 1000; // ms before anything is shown
const EVERY = 200; // ms
const WIDTH = 24;

export class Progress {
  readonly #io: Io;
  readonly #what: string;
  readonly #total: number;
  readonly #start = performance.now();
  #shown = 0;

  constructor(io: Io, what: string, total: number) {
    this.#io = io;
    this.#what = what;
    this.#total = Math.max(1, total);
  }

  /** Cheap enough to call for every thousandth event or so. */
  update(done: number): void {
    if (!this.#io.terminal) return;
    const now = performance.now();
    if (now - this.#start < PATIENCE || now - this.#shown < EVERY) return;
    this.#shown = now;
    const part = Math.min(1, done / this.#total);
    const bar = '#'.repeat(Math.round(part * WIDTH)).padEnd(WIDTH, '.');
    this.#io.err(`\r${this.#what} [${bar}] ${String(Math.floor(part * 100)).padStart(3)} %`);
  }

  end(): void {
    if (this.#shown > 0) this.#io.err('\r\u001b[K');
    this.#shown = 0;
  }
}
