// What can go wrong for a user, as one class with a closed set of codes. Divergence is data and never thrown.

/** Exit codes of every command. */
export const exitCodes = { same: 0, divergence: 1, usage: 2, broken: 3 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

export const errorCodes = {
  USAGE: exitCodes.usage, // a wrong option, a file that exists, a program that cannot be recorded
  NOT_A_TRACE: exitCodes.broken,
  VERSION_TOO_NEW: exitCodes.broken,
  CORRUPT: exitCodes.broken, // damaged or cut off; the message has the place
  UNFINISHED: exitCodes.broken, // still being recorded, or left by a killed recorder
  RING: exitCodes.broken, // ring file missing, damaged, of another version
  TARGET: exitCodes.broken, // no such device, busy, not bound, no permission, no IOMMU, agent gone
  HOST: exitCodes.broken, // a missing feature, file, full disk
} as const;
export type ErrorCode = keyof typeof errorCodes;

/** `message`: one sentence that says what to do. */
export class TraceError extends Error {
  override name = 'TraceError';
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
