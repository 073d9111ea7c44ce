// Every script.

import type { Scenario } from '../scenario.ts';
import { access } from './access.ts';
import { dirty } from './dirty.ts';
import { iommu } from './iommu.ts';
import { irqs } from './irqs.ts';
import { order } from './order.ts';
import { peers } from './peers.ts';
import { v1Data } from './v1-data.ts';
import { v1State } from './v1-state.ts';
import { v2Session } from './v2-session.ts';
import { v2State } from './v2-state.ts';

export const scenarios: readonly Scenario[] = [
  ...v1State,
  ...v1Data,
  ...v2State,
  ...v2Session,
  ...peers,
  ...dirty,
  ...access,
  ...irqs,
  ...iommu,
  ...order,
];
