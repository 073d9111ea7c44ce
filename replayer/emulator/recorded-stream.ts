// A data stream of a trace: reads, writes and ioctls are answered as then, each kind in its order.

import type { Caller } from './caller.ts';
import { Failed, fail } from './failed.ts';
import { OpenFile } from './file.ts';
import type { Answer, RecordedStream } from './recording.ts';
import { User } from './user.ts';

function next(answers: Answer[] | undefined): Answer | undefined {
  const found = answers?.shift();
  if (found && found.ret < 0) throw new Failed(-found.ret);
  return found;
}

export class ReplayedStream extends OpenFile {
  readonly kind = 'data';
  private readonly left: RecordedStream;

  constructor(recorded: RecordedStream | undefined) {
    super();
    this.left = {
      reads: [...(recorded?.reads ?? [])],
      writes: [...(recorded?.writes ?? [])],
      ioctls: [...(recorded?.ioctls ?? [])],
    };
  }
  override read(_caller: Caller, length: number): Buffer {
    return next(this.left.reads)?.output?.subarray(0, length) ?? Buffer.alloc(0);
  }
  override write(_caller: Caller, bytes: Buffer): number {
    return next(this.left.writes)?.ret ?? bytes.length;
  }
  override ioctl(caller: Caller, _request: number, arg: bigint): number {
    const found = next(this.left.ioctls) ?? fail('ENOTTY');
    if (found.output) new User(caller.memory, arg).write(found.output);
    return found.ret;
  }
}
