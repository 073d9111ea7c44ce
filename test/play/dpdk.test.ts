// Unmodified dpdk-testpmd sends packets through an emulated e1000 whose cable is a loop; recorded with every load and
// store of its mapped registers; and the trace answers testpmd again.
// timeout: 300

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openTrace } from '../../traces/trace.ts';

const test = suite('play: dpdk-testpmd');
const root = fileURLToPath(new URL('../../', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'vfio-rr-dpdk-'));
const installed = spawnSync('dpdk-testpmd', ['--version']).error === undefined;
if (!installed) console.log('SKIP dpdk-testpmd is not installed (Debian: apt-get install dpdk)');

test.after(() => rmSync(dir, { recursive: true, force: true }));

/** Writes the lines of `script` once testpmd prompts, each so many ms after the one before; its output is buffered. */
function testpmd(options: readonly string[], script: readonly (readonly [number, string])[]): Promise<string> {
  const eal = ['--no-huge', '-m', '256', '--iova-mode=va', '--no-telemetry', '-a', '0000:00:04.0'];
  const args = ['--import', 'tsx', 'cli.ts', 'play', ...options, '--', 'dpdk-testpmd', ...eal];
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...args, '--', '-i', '--total-num-mbufs=2048', '--no-numa'], { cwd: root });
    const timer = setTimeout(() => child.stdin.end(), 60_000);
    let out = '';
    let prompted = false;
    const hear = (d: Buffer): void => {
      out += d.toString();
      if (prompted || !out.includes('testpmd> ')) return;
      prompted = true;
      let at = 0;
      for (const [ms, line] of script) {
        at += ms;
        setTimeout(() => child.stdin.write(`${line}\n`), at);
      }
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    child.on('close', () => {
      clearTimeout(timer);
      resolve(out);
    });
  });
}

const packets = (out: string): number => Number(/RX-packets: (\d+)/.exec(out)?.[1] ?? 0);
const forwarding = [
  [0, 'start tx_first'],
  [4000, 'stop'],
  [1000, 'quit'],
] as const;
const quitting = [[0, 'quit']] as const;

if (installed) {
  test('packets flow on the emulated e1000', async () => {
    const out = await testpmd(['--emulate', 'e1000:0000:00:04.0'], forwarding);
    assert.ok(packets(out) > 0, out.slice(-3000));
  });

  test('recorded with --mmio trap: each load and store is in the trace, which answers it again', async () => {
    const path = join(dir, 'testpmd.vrr');
    const out = await testpmd(['--emulate', 'e1000:0000:00:04.0', '--record', path, '--mmio', 'trap'], forwarding);
    assert.ok(packets(out) > 0, out.slice(-3000));
    const trace = openTrace(path);
    const accesses = trace.select('SELECT count(*) AS n FROM call WHERE name IN (?, ?)', 'load', 'store')[0]?.n;
    trace.close();
    assert.ok(Number(accesses) > 1000, `${accesses}`);
    const again = await testpmd([path, '--match', 'register'], quitting);
    assert.match(again, /Configuring Port 0/, again.slice(-3000));
    assert.match(again, /Bye\.\.\./);
  });
}

test.run();
