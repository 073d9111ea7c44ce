// Virtual time: it moves by a fixed step with every call and by whatever a caller waits, never by the host's clock, so
// the same calls always meet the same device state.

/** Nanoseconds that a call takes. */
export const CALL_NS = 1000n;

interface Timer {
  readonly at: bigint;
  readonly order: number;
  readonly fire: () => void;
}

export class Clock {
  now = 0n;
  private timers: Timer[] = [];
  private order = 0;

  /** Calls `fire` once, `ns` from now. The result cancels it. */
  after(ns: bigint, fire: () => void): () => void {
    const timer: Timer = { at: this.now + ns, order: this.order++, fire };
    const place = this.timers.findIndex((t) => t.at > timer.at);
    this.timers.splice(place < 0 ? this.timers.length : place, 0, timer);
    return () => {
      this.timers = this.timers.filter((t) => t !== timer);
    };
  }

  get waiting(): boolean {
    return this.timers.length > 0;
  }

  advance(ns: bigint): void {
    const until = this.now + ns;
    for (let due = this.timers[0]; due && due.at <= until; due = this.timers[0]) {
      this.timers.shift();
      this.now = due.at;
      due.fire();
    }
    this.now = until;
  }

  /** Lets time pass until `done` holds, a timer at a time, at most `ns` (null: while there are timers). False: it never held. */
  wait(ns: bigint | null, done: () => boolean): boolean {
    const until = ns === null ? null : this.now + ns;
    while (!done()) {
      const next = this.timers[0];
      if (!next || (until !== null && next.at > until)) {
        if (until !== null) this.advance(until - this.now);
        return done();
      }
      this.advance(next.at - this.now);
    }
    return true;
  }
}
