// Many event ids in little room: ranges, as long as they come mostly in rising order.

type Range = [first: number, last: number];

export class EventIds {
  readonly #ranges: Range[];

  /** `pairs` as below; what is no list is none. */
  constructor(pairs: unknown = []) {
    const numbers = Array.isArray(pairs) ? pairs.map(Number) : [];
    this.#ranges = Array.from({ length: numbers.length >> 1 }, (_x, i) => numbers.slice(2 * i, 2 * i + 2) as Range);
  }

  add(id: number): void {
    const range = this.#ranges.at(-1);
    if (range?.[1] === id - 1) range[1] = id;
    else this.#ranges.push([id, id]);
  }

  /** First and last of each range, one after the other, rising. */
  get pairs(): number[] {
    return this.#ranges.sort((x, y) => x[0] - y[0]).flat();
  }

  /** Of ids that were given as pairs. */
  has(id: number): boolean {
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ranges[middle] as Range)[0] <= id) low = middle + 1;
      else high = middle;
    }
    return id <= (this.#ranges[low - 1]?.[1] ?? -1);
  }
}
