// The shadow of a device or an address space, on one line, for whoever reads a finding.

import { migrationFlags } from '../../schema/features.ts';
import { v1StateName } from '../../schema/states-v1.ts';
import type { Device, Space, World } from './shadow.ts';

const flagNames = (flags: number): string =>
  Object.entries(migrationFlags)
    .filter(([, bit]) => flags & bit)
    .map(([name]) => name)
    .join('|') || 'none';

function v1Text({ v1 }: Device): string[] {
  if (!v1) return [];
  const { phase, pending, offset, size } = v1.iteration;
  const known = v1.state === null ? 'unknown' : v1StateName(v1.state);
  const parts = [`migration region ${v1.region.index}, device_state ${known}`];
  if (v1.failed) parts.push('the last write of it failed');
  if (phase !== 'idle')
    parts.push(`iteration: ${phase} (pending ${pending ?? '?'}, offset ${offset ?? '?'}, size ${size ?? '?'})`);
  return parts;
}

function v2Text({ v2 }: Device): string[] {
  const parts: string[] = [];
  if (v2.flags !== null) parts.push(`migration flags ${flagNames(v2.flags)}`);
  if (v2.used || v2.flags !== null) parts.push(`state ${v2.states ? [...v2.states].join(' or ') : 'unknown'}`);
  if (v2.session)
    parts.push(`data_fd ${v2.session.fd} of event ${v2.session.event}, ${v2.session.stream.length} bytes`);
  if (v2.logging) parts.push('DMA logging on');
  return parts;
}

function deviceText(device: Device, world: World): string {
  const peers = world.peers(device).map((d) => d.name);
  const parts = [...v1Text(device), ...v2Text(device)];
  if (device.windows.length > 0) parts.push(`${device.windows.length} mappings of regions`);
  if (peers.length > 0) parts.push(`peers ${peers.join(', ')}`);
  return parts.join('; ') || 'no migration seen';
}

function spaceText(space: Space): string {
  const devices = [...space.devices].map((d) => d.name).join(', ');
  return `${space.maps.count} mappings, ${space.maps.bytes} bytes${space.tracking ? '; dirty tracking on' : ''}${devices ? `; devices ${devices}` : ''}`;
}

export function shadowText(world: World, subject: string): string {
  for (const device of world.devices.values()) if (device.name === subject) return deviceText(device, world);
  for (const c of world.containers.values())
    for (const space of c.all()) if (space.name === subject) return spaceText(space);
  return '';
}
