// lz4 0.6.5 ships no types; only what pack.ts uses.
declare module 'lz4' {
  const lz4: {
    readonly utils: {
      /** XXH32. */
      blockChecksum(block: Buffer): number;
    };
    encodeBound(length: number): number;
    /** Bytes written, 0: did not fit. */
    encodeBlock(input: Buffer, output: Buffer): number;
    /** Bytes written, negative: place of the error. */
    decodeBlock(input: Buffer, output: Buffer): number;
  };
  // biome-ignore lint/style/noDefaultExport: it is the package's
  export default lz4;
}
