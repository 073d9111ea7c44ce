// A recording under way, for tests that speak to it while it runs.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { cli, standin } from './build.ts';

export interface Running {
  readonly child: ChildProcess;
  /** What it said so far. */
  said(): string;
  /** When it has said that. Throws when it ends without. */
  until(pattern: RegExp): Promise<RegExpExecArray>;
  /** When it has made that file. Throws when it ends without. */
  made(name: string): Promise<void>;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export function start(folder: string, args: readonly string[], env: Record<string, string> = {}): Running {
  const child = spawn('node', [cli, ...args], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, LD_PRELOAD: standin, XDG_RUNTIME_DIR: folder, ...env },
  });
  let text = '';
  let over = false;
  child.stderr?.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((done) =>
    child.on('close', (code, signal) => {
      over = true;
      done({ code, signal });
    }),
  );
  const until = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const match = pattern.exec(text);
      if (match) return match;
      if (over) throw new Error(`it ended without ${pattern}: ${text}`);
      await setTimeout(5);
    }
  };
  const made = async (name: string): Promise<void> => {
    while (!existsSync(join(folder, name))) {
      if (over) throw new Error(`it ended without ${name}: ${text}`);
      await setTimeout(5);
    }
  };
  return { child, said: () => text, until, made, ended };
}

export function ctl(folder: string, ...args: string[]) {
  return spawnSync('node', [cli, 'ctl', ...args], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, XDG_RUNTIME_DIR: folder },
  });
}

export function rows<T>(trace: string, sql: string): T[] {
  const db = new Database(trace, { readonly: true });
  try {
    return db.prepare(sql).all() as T[];
  } finally {
    db.close();
  }
}

export function metaOf(trace: string): Record<string, unknown> {
  const pairs = rows<{ key: string; value: unknown }>(trace, 'SELECT key, value FROM meta');
  return Object.fromEntries(pairs.map((p) => [p.key, p.value]));
}
