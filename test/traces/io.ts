// An Io that keeps what was said.

import type { Io } from '../../traces/io.ts';

export interface Said extends Io {
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly code: () => number | undefined;
}

export function listen(): Said {
  let stdout = '';
  let stderr = '';
  let code: number | undefined;
  return {
    out: (text) => {
      stdout += text;
    },
    err: (text) => {
      stderr += text;
    },
    exit: (c) => {
      code = c;
    },
    die: () => {
      throw new Error('no reader dies of a signal');
    },
    onSignal: () => () => {},
    onDump: () => () => {},
    terminal: false,
    columns: 120,
    env: {},
    stdout: () => stdout,
    stderr: () => stderr,
    code: () => code,
  };
}
