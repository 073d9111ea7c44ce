// /dev/iommu: its own requests, and the container's. Source: drivers/iommu/iommufd/main.c (6.12).

import { iommufdCalls } from '../../schema/iommufd.ts';
import type { Struct } from '../../schema/layout.ts';
import type { Caller } from './caller.ts';
import { fail } from './failed.ts';
import { OpenFile } from './file.ts';
import type { Host } from './host.ts';
import { hwptHandlers } from './hwpt.ts';
import { ioasHandlers } from './ioas-calls.ts';
import { Iommufd } from './iommufd.ts';
import { compatIoctl } from './iommufd-compat.ts';
import { requestsOf } from './request.ts';
import { Fields, User } from './user.ts';

const call = requestsOf(iommufdCalls);

/** A call in progress (struct iommufd_ucmd). */
export interface Command {
  readonly iommufd: Iommufd;
  readonly caller: Caller;
  readonly fields: Fields;
  readonly user: User;
  /** Writes the structure back, as much as the caller has. */
  respond(): void;
}
export type Handler = (command: Command) => void;

const handlers = new Map<
  number,
  { readonly layout: Struct; readonly min: number; readonly since: '6.1' | '6.12' | '7.2'; readonly handle: Handler }
>();
function handle(name: string, handler: Handler): void {
  const found = iommufdCalls.find((c) => c.name === name);
  if (found?.arg.kind !== 'struct') throw new Error(`the schema has no ${name}`);
  handlers.set(call(name), { layout: found.arg.layout, min: found.min, since: found.since, handle: handler });
}

handle('IOMMU_DESTROY', (c) => c.iommufd.destroy(c.fields.num('id')));
for (const [name, handler] of Object.entries({ ...ioasHandlers, ...hwptHandlers })) handle(name, handler);

/** Requests below these are the container's. */
const IOMMUFD_FIRST = call('IOMMU_DESTROY');

export class IommufdFile extends OpenFile {
  readonly kind = 'iommufd';
  readonly iommufd: Iommufd;
  constructor(host: Host) {
    super();
    this.iommufd = new Iommufd(host);
  }

  override ioctl(caller: Caller, request: number, arg: bigint): number {
    const user = new User(caller.memory, arg);
    const known = handlers.get(request);
    if (!known || !this.iommufd.host.has(known.since))
      return request < IOMMUFD_FIRST ? compatIoctl(this.iommufd, caller, request, user, arg) : fail('ENOTTY');
    const size = user.read(4).readUInt32LE();
    if (size < known.min) fail('EINVAL');
    const fields = copyStruct(user, known.layout, size);
    known.handle({
      iommufd: this.iommufd,
      caller,
      fields,
      user,
      respond: () => user.copyOut(fields, Math.min(size, known.layout.size)),
    });
    return 0;
  }

  protected override release(): void {
    this.iommufd.put();
  }
}

/** copy_struct_from_user: a short structure is filled with zeroes; a long one must end in zeroes. */
function copyStruct(user: User, layout: Struct, size: number): Fields {
  const bytes = Buffer.alloc(layout.size);
  user.read(Math.min(size, layout.size)).copy(bytes);
  if (size > layout.size) {
    const more = Math.min(size, 4096) - layout.size; // no structure comes near a page
    if (
      user
        .at(layout.size)
        .read(Math.max(more, 0))
        .some((b) => b !== 0)
    )
      fail('E2BIG');
  }
  return new Fields(layout, bytes);
}
