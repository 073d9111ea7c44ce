// How a command speaks to whoever started it. cli.ts makes the real one; nothing else touches `process`.

import type { ExitCode } from '../schema/errors.ts';

export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** The command's verdict; the last one counts. A recorded program's own exit status may be any number. */
  exit(code: ExitCode | number): void;
  /** Ends by that signal, as a recorded program did. */
  die(signal: NodeJS.Signals): void;
  /** Takes the signals that would end us, until the function that comes back is called. */
  onSignal(listener: (signal: NodeJS.Signals) => void): () => void;
  /** Takes SIGUSR2, by which a flight recorder is asked for a dump, until the function that comes back is called. */
  onDump(listener: () => void): () => void;
  /** Whether standard error is a terminal: progress is shown only there. */
  readonly terminal: boolean;
  readonly columns: number;
  readonly env: Readonly<Record<string, string | undefined>>;
}
