// Lines to the terminal, gathered into larger writes; between them the event loop runs, so that a closed pipe
// (`vfio-rr show … | head`) ends the command.

import { setImmediate } from 'node:timers/promises';
import type { Io } from './io.ts';

const CHUNK = 1 << 15;

export class Output {
  readonly #io: Io;
  #text = '';

  constructor(io: Io) {
    this.#io = io;
  }

  /** Takes a line; the promise, when there is one, is to be awaited. */
  line(text: string): Promise<void> | undefined {
    this.#text += `${text}\n`;
    return this.#text.length < CHUNK ? undefined : this.flush();
  }

  async flush(): Promise<void> {
    if (this.#text) this.#io.out(this.#text);
    this.#text = '';
    await setImmediate();
  }
}
