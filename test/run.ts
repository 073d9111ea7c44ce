// Runs test files, each a program of its own under a time limit, and sums up.
//
//   tsx test/run.ts [--jobs N] [FOLDER | FILE…]        without any: test/ but not test/vm/
//
// A file may ask for more than two minutes in its first lines: `// timeout: 300`. It skips by uvu's skip, by printing a
// line `SKIP reason` for each test that it leaves out, or as a whole by exiting with 77. The last line is the sum.

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const TIMEOUT = 120; // seconds
const SKIPPED = 77; // as in automake and liburing

interface Outcome {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly reasons: readonly string[];
  readonly seconds: number;
  /** Printed when something failed. */
  readonly output: string;
}

const root = fileURLToPath(new URL('..', import.meta.url));

function testFiles(path: string, isDefault: boolean): string[] {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { withFileTypes: true })
    .filter((e) => !(isDefault && e.isDirectory() && e.name === 'vm'))
    .flatMap((e) =>
      e.isDirectory() ? testFiles(join(path, e.name), false) : e.name.endsWith('.test.ts') ? [join(path, e.name)] : [],
    )
    .sort();
}

function limitOf(file: string): number {
  const asked = /^\/\/ timeout: (\d+)/m.exec(readFileSync(file, 'utf8').slice(0, 2000));
  return asked ? Number(asked[1]) : TIMEOUT;
}

function sumUp(file: string, code: number | null, output: string, seconds: number, limit: number): Outcome {
  const counts = (word: string): number =>
    [...output.matchAll(new RegExp(`^  ${word}: +(\\d+)$`, 'gm'))].reduce((n, m) => n + Number(m[1]), 0);
  const reasons = [...output.matchAll(/^SKIP(?::|ped)? *(.*)$/gm)].map((m) => m[1] ?? '');
  const total = counts('Total');
  const passed = counts('Passed');
  const skipped = Math.max(counts('Skipped'), reasons.length, code === SKIPPED ? 1 : 0);
  if (code === SKIPPED || (code === 0 && passed === total))
    return { file, passed, failed: 0, skipped, reasons, seconds, output };
  const why =
    code === 124 || code === 137 ? `\ntimed out after ${limit} s\n` : total === passed ? `\nexit code ${code}\n` : '';
  return { file, passed, failed: Math.max(1, total - passed), skipped, reasons, seconds, output: output + why };
}

function run(file: string): Promise<Outcome> {
  const limit = limitOf(file);
  const start = performance.now();
  const child = spawn('timeout', ['-k', '10', String(limit), process.execPath, '--import', 'tsx', file], {
    cwd: root,
    env: { ...process.env, FORCE_COLOR: '0', NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const take = (chunk: Buffer): void => {
    output += chunk.toString('utf8');
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  return new Promise((resolve) => {
    child.on('close', (code) => resolve(sumUp(file, code, output, (performance.now() - start) / 1000, limit)));
  });
}

async function main(argv: string[]): Promise<number> {
  const jobsAt = argv.indexOf('--jobs');
  const jobs = jobsAt < 0 ? availableParallelism() : Number(argv.splice(jobsAt, 2)[1]);
  const files = argv.length > 0 ? argv.flatMap((p) => testFiles(p, false)) : testFiles(join(root, 'test'), true);
  const sum = { passed: 0, failed: 0, skipped: 0 };
  const reasons: string[] = [];
  // Those that may take longest first, so that nothing else waits for them in the end.
  const queue = files.toSorted((a, b) => limitOf(b) - limitOf(a));
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file; file = queue.shift()) {
      const o = await run(file);
      sum.passed += o.passed;
      sum.failed += o.failed;
      sum.skipped += o.skipped;
      reasons.push(...o.reasons.map((r) => `${relative(root, file)}: ${r}`));
      const verdict = o.failed > 0 ? 'FAIL' : o.passed === 0 ? 'skip' : 'ok  ';
      console.log(
        `${verdict} ${relative(root, file)}  ${o.passed} passed, ${o.failed} failed, ${o.skipped} skipped  ${o.seconds.toFixed(1)} s`,
      );
      if (o.failed > 0) console.log(o.output.replace(/^(?=.)/gm, '     '));
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, jobs) }, worker));
  for (const r of reasons.sort()) console.log(`skipped: ${r}`);
  if (files.length === 0) console.log('no test files');
  console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`);
  return sum.failed > 0 || files.length === 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
