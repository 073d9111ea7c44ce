// A target that notes what it is asked and answers as the test says.

import type { Part, Reply, Request, Target } from '../../replayer/target.ts';

export type Answer = Partial<Omit<Reply, 'tag'>>;

export class Scripted implements Target {
  readonly hello = 'scripted';
  readonly asked: Request[] = [];
  readonly #answer: (r: Request) => Answer | undefined;
  constructor(answer: (r: Request) => Answer | undefined = () => undefined) {
    this.#answer = answer;
  }
  async run(batch: readonly Request[]): Promise<Reply[]> {
    return batch.map((r) => {
      this.asked.push(r);
      const arg = r.op === 'ioctl' ? argOf(r) : null;
      return { tag: r.tag, ret: 0, duration: 10, arg, buffers: new Map(), ...this.#answer(r) };
    });
  }
  async close(): Promise<void> {}

  /** Requests of one op. */
  of(op: Request['op']): Request[] {
    return this.asked.filter((r) => r.op === op);
  }
}

export function argOf(r: Request | undefined): Buffer | null {
  const part = r?.parts.find((p) => p.kind === 'arg');
  return part?.kind === 'arg' ? Buffer.from(part.bytes) : null;
}
type PartOf<K extends Part['kind']> = Part & { readonly kind: K };
export const partOf = <K extends Part['kind']>(r: Request | undefined, kind: K): PartOf<K> | undefined =>
  r?.parts.find((p): p is PartOf<K> => p.kind === kind);
