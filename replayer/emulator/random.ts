// Pseudo-random numbers from a seed: xorshift64*, so that every machine draws the same.

const MASK = (1n << 64n) - 1n;

export class Random {
  private state: bigint;
  constructor(seed: number | bigint) {
    this.state = ((BigInt(seed) & MASK) ^ 0x9e3779b97f4a7c15n) & MASK || 1n;
  }
  /** 64 bits. */
  next(): bigint {
    this.state ^= this.state >> 12n;
    this.state = (this.state ^ (this.state << 25n)) & MASK;
    this.state ^= this.state >> 27n;
    return (this.state * 0x2545f4914f6cdd1dn) & MASK;
  }
  /** A whole number from 0 to below `bound`. */
  below(bound: number): number {
    return Number(this.next() % BigInt(bound));
  }
  bytes(length: number): Buffer {
    const out = Buffer.alloc(Math.ceil(length / 8) * 8);
    for (let at = 0; at < out.length; at += 8) out.writeBigUInt64LE(this.next(), at);
    return out.subarray(0, length);
  }
}
