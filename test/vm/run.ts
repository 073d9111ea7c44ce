// Boots kernels and runs the tests that need VFIO in them: `npm run test:vm [-- --only TEXT] [-- --boot NAME,…] [-- --jobs N]`.
// As many boots at a time as there are processors. One line a test and a last one `N passed, N failed, N skipped`;
// exit 1 when any failed.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { make } from '../make.ts';
import { buildCrowd } from '../recorder/build.ts';
import { acrossJobs } from './across.ts';
import { type Boot, boots } from './boots.ts';
import { bundle } from './bundle.ts';
import { runJobs, type Tally } from './job.ts';
import { CARRIED } from './jobs-kernels.ts';
import { runProgram } from './run-program.ts';

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    boot: { type: 'string', default: '' },
    keep: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});
const root = join(import.meta.dirname, '../..');
const total: Tally = { passed: 0, failed: 0, skipped: 0 };

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const SANITIZERS = ['address,undefined'];

/** Gives the guest's program. */
function setUp(): string {
  const need = runProgram(
    [
      join(root, 'test/vm/need.sh'),
      'qemu-system-x86',
      'dpdk-dev',
      'strace',
      'sqlite3',
      'gcc',
      'make',
      'linux-libc-dev',
    ],
    { seconds: 600 },
  );
  if (need.status !== 0) throw new Error(need.err.trim());
  for (const target of [['all', 'static', 'raw'], ...SANITIZERS.map((s) => [`SAN=${s}`, 'all'])])
    make('test/clients', ...target);
  buildCrowd();
  bundle('cli.ts', 'vfio-rr');
  for (const s of SANITIZERS) make('native', `SAN=${s}`, 'interposer');
  return bundle('test/vm/guest.ts', 'guest');
}

function add(t: Tally): void {
  total.passed += t.passed;
  total.failed += t.failed;
  total.skipped += t.skipped;
}

/** What the boots carried out, by boot. */
const traces = mkdtempSync(join(tmpdir(), 'vfio-rr-vm-traces-'));
const COMPARED = ['debian-6.1', 'debian-7.2'] as const;

async function compareKernels(jobs: number): Promise<void> {
  const all = acrossJobs(traces, COMPARED, jobs).filter((job) => `kernels ${job.name}`.includes(values.only));
  if (COMPARED.some((boot) => existsSync(join(traces, boot)))) add(await runJobs(all, 'kernels', say));
}

/** The guest's own tally; a guest that died counts as one failure more. */
async function run(boot: Boot, guest: string): Promise<void> {
  const out = values.keep ? join(values.keep, boot.name) : mkdtempSync(join(tmpdir(), `vfio-rr-vm-${boot.name}-`));
  const args = [
    '-k',
    boot.kernel,
    '-o',
    out,
    '-t',
    String(boot.seconds),
    '-q',
    boot.qemu,
    'node',
    guest,
    boot.name,
    ...boot.groups,
    '--only',
    values.only,
  ];
  boot.before?.(out);
  const child = spawn(join(root, 'test/vm/boot.sh'), args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...boot.env },
  });
  createInterface(child.stdout).on('line', say); // whole lines, as other boots print too
  const status = await new Promise<number>((done) => child.once('close', (code) => done(code ?? 1)));
  const tally = join(out, 'tally.json');
  if (existsSync(join(out, CARRIED))) cpSync(join(out, CARRIED), join(traces, boot.name), { recursive: true });
  if (existsSync(tally)) add(JSON.parse(readFileSync(tally, 'utf8')) as Tally);
  else {
    total.failed++;
    say(`not ok ${boot.name}: the boot ended with ${status} and without results; its kernel's log is ${out}/console`);
    return;
  }
  if (!values.keep) rmSync(out, { recursive: true, force: true });
}

try {
  const guest = setUp();
  const queue = boots.filter((boot) => !values.boot || values.boot.split(',').includes(boot.name));
  const worker = async (): Promise<void> => {
    for (let boot = queue.shift(); boot; boot = queue.shift()) await run(boot, guest);
  };
  const jobs = Math.max(1, Number(values.jobs) || 1);
  await Promise.all(Array.from({ length: jobs }, worker));
  await compareKernels(jobs);
} catch (error) {
  total.failed++;
  say(`not ok set-up: ${error instanceof Error ? error.message : error}`);
}
rmSync(traces, { recursive: true, force: true });
say(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed ? 1 : 0;
