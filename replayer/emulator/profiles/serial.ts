// The kernel's sample serial card (samples/vfio-mdev/mtty.c).

import type { SerialProfile } from '../profile.ts';

export const serial: SerialProfile = { driver: 'serial', ports: 2 };
export const serial1: SerialProfile = { driver: 'serial', ports: 1 };
