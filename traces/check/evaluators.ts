// The evaluator of every rule; a rule without one does not compile.

import type { RuleId } from '../../schema/rules.ts';
import type { Make } from './evaluator.ts';
import * as access from './rules/access.ts';
import * as dirty from './rules/dirty.ts';
import * as iommu from './rules/iommu.ts';
import * as irqs from './rules/irqs.ts';
import * as peers from './rules/peers.ts';
import * as setup from './rules/setup.ts';
import * as v1Data from './rules/v1-data.ts';
import * as v1State from './rules/v1-state.ts';
import * as v2Session from './rules/v2-session.ts';
import * as v2State from './rules/v2-state.ts';

/** Judged across sessions and traces, after all were read (across.ts). */
const across: Make = () => ({});

export const evaluators: Readonly<Record<RuleId, Make>> = {
  ...{ R1: v1State.r1, R2: v1State.r2, R3: v1State.r3, R4: v1State.r4, R5: v1State.r5, R6: v1State.r6 },
  ...{ R7: v1State.r7, R8: v1State.r8, R9: v1State.r9, R10: v1Data.r10, R11: v1Data.r11, R12: v1Data.r12 },
  ...{ R13: v1Data.r13, R14: v1Data.r14, R15: v1Data.r15, R16: v1Data.r16, R17: v1Data.r17, R18: v1Data.r18 },
  ...{ R19: across, R20: v1State.r20, R21: v1State.r21, R22: v1State.r22, R23: peers.r23, R24: irqs.r24 },
  ...{ R25: peers.r25, R26: v2State.r26, R27: v2State.r27, R28: v2State.r28, R29: v2State.r29 },
  ...{ R30: v2Session.r30, R31: v2Session.r31, R32: v2State.r32, R33: v2State.r33, R34: v2State.r34 },
  ...{ R35: v2State.r35, R36: v2State.r36, R37: across, R38: v2Session.r38, R39: v2Session.r39 },
  ...{ R40: v2Session.r40, R41: v2Session.r41, R42: v2Session.r42, R43: v2Session.r43, R44: v2Session.r44 },
  ...{ R45: v2Session.r45, R46: v2State.r46, R47: peers.r47, R48: peers.r48, R49: dirty.r49, R50: dirty.r50 },
  ...{ R51: dirty.r51, R52: dirty.r52, R53: dirty.r53, R54: access.r54, R55: access.r55, R56: irqs.r56 },
  ...{ R57: access.r57, R58: setup.r58, R59: setup.r59, R60: irqs.r60, R61: access.r61, R62: iommu.r62 },
  ...{ R63: iommu.r63, R64: dirty.r64, R65: iommu.r65, R66: setup.r66, R67: setup.r67, R68: access.r68 },
  ...{ R69: iommu.r69, R70: setup.r70, C1: iommu.c1, C2: iommu.c2, C3: iommu.c3, C4: iommu.c4, C5: irqs.c5 },
};
