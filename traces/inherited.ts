// Descriptors that our parent means for the program: `fd=` of libvirt, a device kept open through exec.

import type { StdioOptions } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** What Node opens for itself before any of our code runs: it marks inherited descriptors close-on-exec just as these. */
const nodes: ReadonlySet<string> = new Set([
  ...['anon_inode:[eventpoll]', 'anon_inode:[eventfd]', 'anon_inode:[io_uring]', '/dev/null'],
]);

/** Bits of open(2)'s flags. */
const ACCESS = 3;

/**
 * Descriptors above 2 that were open before us, to be called before any of ours is opened. Not among them, as they cannot be
 * told from Node's own: eventfds, epoll instances, /dev/null, and pipes of which we have both ends.
 */
function inheritedDescriptors(): number[] {
  const open: { fd: number; link: string; access: number }[] = [];
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      const flags = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${name}`, 'utf8'))?.[1] ?? '0';
      const access = Number.parseInt(flags, 8) & ACCESS;
      open.push({ fd: Number(name), link: readlinkSync(`/proc/self/fd/${name}`), access });
    } catch {
      // the one that the folder was read by
    }
  }
  const own = (link: string): boolean =>
    nodes.has(link) ||
    (link.startsWith('pipe:') && new Set(open.filter((o) => o.link === link).map((o) => o.access)).size > 1);
  return open.filter((o) => o.fd > 2 && !own(o.link)).map((o) => o.fd);
}

/** Streams and descriptors of a child that is to have what we were given. */
export function inherit(): StdioOptions {
  const passed = new Set(inheritedDescriptors());
  const last = Math.max(2, ...passed);
  return Array.from({ length: last + 1 }, (_, fd) => (fd < 3 ? 'inherit' : passed.has(fd) ? fd : 'ignore'));
}
