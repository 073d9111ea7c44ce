// Where a call that only B made would stand in A: behind the last call of A whose like came before it in B.

/** Pairs kept; beyond, every second one goes. */
const MOST = 1 << 16;

export class Anchors {
  #pairs: { readonly a: number; readonly b: number }[] = [];
  #seen = 0;
  #stride = 1;
  #sorted: { readonly a: number; readonly b: number }[] | undefined;

  /** Event `a` of A and `b` of B are the same call. */
  add(a: number, b: number): void {
    if (this.#seen++ % this.#stride !== 0) return;
    this.#sorted = undefined;
    this.#pairs.push({ a, b });
    if (this.#pairs.length < MOST) return;
    this.#pairs = this.#pairs.filter((_p, i) => i % 2 === 0);
    this.#stride *= 2;
  }

  /** 0: before all of A. */
  before(b: number): number {
    this.#sorted ??= this.#inOrder();
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#sorted[middle] as { b: number }).b < b) low = middle + 1;
      else high = middle;
    }
    return this.#sorted[low - 1]?.a ?? 0;
  }

  #inOrder(): { readonly a: number; readonly b: number }[] {
    let last = 0;
    return [...this.#pairs]
      .sort((x, y) => x.b - y.b)
      .map(({ a, b }) => {
        last = Math.max(last, a);
        return { a: last, b };
      });
  }
}
