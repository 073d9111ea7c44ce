// Who a test's programs run as: play asks for no root, so under root they are somebody without any right.

import { spawnSync } from 'node:child_process';
import { chownSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const NOBODY = 65534; // nobody and nogroup of Debian; no name is needed
const root = fileURLToPath(new URL('../../', import.meta.url));

interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/** Null: whoever runs the test is that already; or the checkout is not for others to read. */
export const ordinary: Identity | null =
  process.getuid?.() === 0 && readableBy(NOBODY) ? { uid: NOBODY, gid: NOBODY } : null;

/** The test runs without root, or can start programs that do. */
export const withoutRoot = ordinary !== null || process.getuid?.() !== 0;

function readableBy(id: number): boolean {
  const files = ['cli.ts', 'node_modules/tsx/package.json', 'native/build/libvfio-rr-play.so'];
  const { status } = spawnSync('sh', ['-c', files.map((f) => `test -r ${f}`).join(' && ')], {
    ...{ cwd: root, uid: id, gid: id },
  });
  return status === 0;
}

/** Spawn options of a program that may write to `dir` only. */
export function asOrdinary(dir: string): Partial<Identity> & { env?: NodeJS.ProcessEnv } {
  if (!ordinary) return {};
  chownSync(dir, ordinary.uid, ordinary.gid);
  return { ...ordinary, env: { ...process.env, HOME: dir, TMPDIR: dir } };
}
