// All rules that `vfio-rr check` judges a trace by.

import type { Rule } from './rule.ts';
import { commonRules } from './rules-common.ts';
import { v1Rules } from './rules-v1.ts';
import { v2Rules } from './rules-v2.ts';

const all = [...v1Rules, ...v2Rules, ...commonRules] as const;
export type RuleId = (typeof all)[number]['id'];
export const rules: readonly (Rule & { readonly id: RuleId })[] = all;

const byId = new Map<string, Rule & { readonly id: RuleId }>(rules.map((r) => [r.id, r]));
export const ruleOf = (id: RuleId): Rule => byId.get(id) as Rule;
export const isRuleId = (id: string): id is RuleId => byId.has(id);
