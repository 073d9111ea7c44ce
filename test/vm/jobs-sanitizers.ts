// The clients once more with the recorder's library built under ASan and UBSan. The client is built the same way, because
// a sanitizer must own the whole process.
import { existsSync } from 'node:fs';

import { type Client, canRun, clients, prepare } from './clients.ts';
import { type Job, Skip } from './job.ts';
import { plain } from './jobs-clients.ts';
import { expectSameOutcome, expectWhole, record } from './record.ts';
import { expectStatus, runProgram } from './run-program.ts';

const LIBRARY = 'native/build/libvfio-rr.so';

/** As make's SAN= makes of it. */
const folder = (sanitizers: string): string => sanitizers.replaceAll(',', '-');

/** In the guest alone: the plain library's path shows the sanitized one. */
function mount(sanitizers: string): void {
  const built = `native/build/${folder(sanitizers)}/libvfio-rr.so`;
  if (!existsSync(built)) throw new Skip(`${built} is not built; make -C native SAN=${sanitizers} interposer`);
  expectStatus('mount', runProgram(['mount', '--bind', built, LIBRARY]));
}

const unmount = (): void => void expectStatus('umount', runProgram(['umount', LIBRARY]));

/** What a sanitizer says goes to the client's error output, and the client then ends with this. */
const FOUND = 99;
const env = {
  ASAN_OPTIONS: `exitcode=${FOUND}:detect_leaks=0:verify_asan_link_order=0`,
  UBSAN_OPTIONS: `halt_on_error=1:print_stacktrace=1:exitcode=${FOUND}`,
};

async function sanitized(client: Client, sanitizers: string): Promise<void> {
  const before = plain(client);
  const [program, ...args] = client.argv as [string, ...string[]];
  const trace = `/tmp/${client.name}-${folder(sanitizers)}.vrr`;
  mount(sanitizers);
  try {
    prepare(client);
    const argv = [program.replace('/build/', `/build/${folder(sanitizers)}/`), ...args];
    const run = await record(trace, argv, { env, seconds: 170 });
    if (/runtime error|Sanitizer/.test(run.err)) throw new Error(run.err.trim().slice(0, 1500));
    expectSameOutcome(before, run);
    expectWhole(trace);
  } finally {
    unmount();
  }
}

const under = (sanitizers: string): Job[] =>
  clients.map((client) => ({
    name: `${client.name} recorded under ${sanitizers}`,
    run: () => {
      if (!canRun(client)) throw new Skip(`this kernel has no ${client.needs}`);
      return sanitized(client, sanitizers);
    },
  }));

function threadSanitizer(): never {
  throw new Skip(
    'the start of TSan calls the preloaded library before the shadow memory is there, and both then crash',
  );
}

export const sanitizerJobs = (): Job[] => [
  ...under('address,undefined'),
  { name: 'threads recorded under thread', run: threadSanitizer },
];
