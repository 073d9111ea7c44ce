// Every script.

import type { Scenario } from '../scenario.ts';
import { v1State } from './v1-state.ts';

export const scenarios: readonly Scenario[] = [...v1State];
