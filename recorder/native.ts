// Where the native parts are: native/build of the package, both from a checkout and from dist/.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TraceError } from '../schema/errors.ts';

/** The folder that holds package.json. */
export function packageFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) {
    const up = dirname(folder);
    if (up === folder) throw new TraceError('HOST', 'cannot find the folder of vfio-rr; install it again');
    folder = up;
  }
  return folder;
}

type NativeFile = 'rings.so' | 'libvfio-rr.so' | 'vfio-rr-trace';

export function nativePath(file: NativeFile): string {
  return join(packageFolder(), 'native', 'build', file);
}

export function requireNative(file: NativeFile): string {
  const path = nativePath(file);
  if (!existsSync(path))
    throw new TraceError('HOST', `${path} is not built; run \`npm run build:native\` in ${packageFolder()} first`);
  return path;
}
