// The target that is a real device: an agent, started here or on another host, that performs the calls.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { AGENT_HELLO, AGENT_VERSION } from '../schema/agent.ts';
import { TraceError } from '../schema/errors.ts';
import { encode, frameSize, helloOf, ReplyReader } from './frames.ts';
import type { Reply, Request, Target } from './target.ts';

/** The agent of this checkout or installation; dist/ has the same tree one level down. */
function ownAgent(): string {
  const candidates = ['../native/build/vfio-rr-agent', '../../native/build/vfio-rr-agent'];
  const found = candidates.map((c) => new URL(c, import.meta.url).pathname).find((p) => existsSync(p));
  if (found === undefined)
    throw new TraceError('TARGET', 'the agent is not built: run `make -C native agent` in the directory of vfio-rr');
  return found;
}

export interface DeviceOptions {
  /** Shell command that runs an agent, such as "ssh host vfio-rr-agent"; undefined: the one built here. */
  readonly agent?: string | undefined;
}

interface Waiting {
  readonly replies: Reply[];
  readonly wanted: number;
  readonly resolve: (replies: Reply[]) => void;
  readonly reject: (error: Error) => void;
}

class Device implements Target {
  hello = '';
  readonly #child: ChildProcess;
  readonly #command: string;
  readonly #reader = new ReplyReader();
  #waiting: Waiting | undefined;
  #stderr = '';
  #gone: TraceError | undefined;
  #closing = false;
  #started: { resolve: () => void; reject: (e: Error) => void } | undefined;

  constructor(command: string | undefined) {
    this.#command = command ?? ownAgent();
    this.#child =
      command === undefined
        ? spawn(this.#command, [], { stdio: 'pipe' })
        : spawn('/bin/sh', ['-c', command], { stdio: 'pipe' });
    const { stdin, stdout, stderr } = this.#child;
    stdout?.on('data', (chunk: Buffer) => this.#take(chunk));
    stderr?.on('data', (chunk: Buffer) => {
      if (this.#stderr.length < 4096) this.#stderr += chunk.toString('utf8');
    });
    stdin?.on('error', () => {}); // the exit says why
    this.#child.on('error', (error) => this.#end(`cannot be started: ${error.message}`));
    this.#child.on('close', (code, signal) =>
      this.#end(signal ? `was ended by ${signal}` : `ended with status ${code}`),
    );
  }

  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#started = { resolve, reject };
      if (this.#gone) reject(this.#gone);
    });
  }

  #take(chunk: Buffer): void {
    try {
      for (const r of this.#reader.push(chunk)) {
        if (r.tag === AGENT_HELLO && this.#started) this.#greet(r);
        else this.#answer(r);
      }
    } catch (error) {
      this.#gone = error as TraceError;
      this.#end('was ended');
      this.#child.kill();
    }
  }

  #greet(r: Reply): void {
    const [agent, system] = helloOf(r);
    if (agent !== `vfio-rr-agent ${AGENT_VERSION}`)
      throw new TraceError(
        'TARGET',
        `the agent is "${agent}" and this vfio-rr speaks with vfio-rr-agent ${AGENT_VERSION}`,
      );
    this.hello = `${agent}, ${system}`;
    this.#started?.resolve();
    this.#started = undefined;
  }

  #answer(r: Reply): void {
    const w = this.#waiting;
    if (!w) throw new TraceError('TARGET', 'the agent answers what it was not asked');
    w.replies.push(r);
    if (w.replies.length < w.wanted) return;
    this.#waiting = undefined;
    w.resolve(w.replies);
  }

  #end(how: string): void {
    const said = this.#stderr.trim().split('\n').at(-1) ?? '';
    const silent = this.hello === '' && !said ? ' without saying what it is; it should run a vfio-rr-agent' : '';
    this.#gone ??= new TraceError('TARGET', `the agent (${this.#command}) ${how}${said ? `: ${said}` : ''}${silent}`);
    if (this.#closing) return;
    this.#started?.reject(this.#gone);
    this.#waiting?.reject(this.#gone);
    this.#waiting = undefined;
  }

  run(batch: readonly Request[]): Promise<Reply[]> {
    if (this.#gone) return Promise.reject(this.#gone);
    if (batch.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      this.#waiting = { replies: [], wanted: batch.length, resolve, reject };
      // Frames are joined up to a size, so that a batch of large writes is not one huge buffer.
      let from = 0;
      for (let i = 0, bytes = 0; i < batch.length; i++) {
        bytes += frameSize(batch[i] as Request);
        if (bytes < 1 << 20 && i + 1 < batch.length) continue;
        this.#child.stdin?.write(encode(batch.slice(from, i + 1)));
        from = i + 1;
        bytes = 0;
      }
    });
  }

  close(): Promise<void> {
    this.#closing = true;
    if (this.#gone) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
      this.#child.on('close', () => {
        clearTimeout(timer);
        resolve();
      });
      this.#child.stdin?.end();
    });
  }
}

export async function openDevice(options: DeviceOptions = {}): Promise<Target> {
  const device = new Device(options.agent);
  await device.start();
  return device;
}
