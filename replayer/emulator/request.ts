// Request numbers and structures of the schema, by their kernel names.

import { type Call, request } from '../../schema/call.ts';
import { featureOf } from '../../schema/decode.ts';
import { vfio_device_feature } from '../../schema/device.ts';
import { fieldOf, type Struct } from '../../schema/layout.ts';

/** A lookup of request numbers by call name. */
export function requestsOf(calls: readonly Call[]): (name: string) => number {
  const byName = new Map(calls.map((c) => [c.name, request(c.nr)]));
  return (name) => {
    const nr = byName.get(name);
    if (nr === undefined) throw new Error(`the schema has no call ${name}`);
    return nr;
  };
}

/** Layout of the structure that follows `layout` under `name`. */
export function structOf(layout: Struct, name: string): Struct {
  for (const tail of layout.tails) if (tail.kind === 'struct' && tail.name === name) return tail.layout;
  throw new Error(`${layout.name} has no ${name}`);
}

/** Numbers of a field's named bits or values; a name that the schema lacks fails when it is asked for. */
export function namesOf(layout: Struct, field: string): (name: string) => number {
  const { names } = fieldOf(layout, field);
  const numbers = names === undefined ? {} : 'bits' in names ? names.bits : names.values;
  return (name) => {
    const nr = numbers[name];
    if (nr === undefined) throw new Error(`${layout.name}.${field} has no ${name}`);
    return nr;
  };
}

/** Where the argument of VFIO_DEVICE_FEATURE has the descriptor that it made; `flags`: its flags, or the feature alone. */
export function featureFdAt(flags: number): number | undefined {
  const feature = featureOf(flags);
  if (!feature?.data || feature.makes === undefined || feature.makes.at === 'ret') return undefined;
  return vfio_device_feature.size + fieldOf(feature.data, feature.makes.at).at;
}
