import type { CID } from "multiformats/cid";
import type { CustomEntry } from "../block/entry.ts";
import type { Role } from "../block/member.ts";
import type { StateReader } from "./state.ts";

/** The input of a rule: only values that all nodes see alike. */
export interface RuleContext {
  readonly ledger: CID;
  readonly height: number;
  /** The block's time, in ms. */
  readonly time: number;
  readonly author: string;
  /** The author's roles before this block. */
  readonly roles: readonly Role[];
  /** The state before this block; it holds only the keys that {@link KindRule.reads} names. */
  readonly state: StateReader;
}

/**
 * The rule of an entry kind that a ledger's policy registers: it must be pure and deterministic. A
 * rule that throws refuses the entry.
 */
export interface KindRule {
  readonly name: string;
  /** CID of the rule's code or text, as the policy lists it. */
  readonly rule: CID;
  /** State keys that `check` reads. */
  reads?(entry: CustomEntry): readonly string[];
  /** @returns whether the entry is accepted */
  check(entry: CustomEntry, context: RuleContext): boolean;
}

/** The state keys that a rule reads for an entry. */
export function ruleReads(rule: KindRule | undefined, entry: CustomEntry): readonly string[] {
  try {
    return rule?.reads?.(entry) ?? [];
  } catch {
    // If `reads` throws, `check` refuses the entry too.
    return [];
  }
}

/** Runs a rule with only the state keys that it requested, so that all nodes see the same. */
export function checkByRule(rule: KindRule, entry: CustomEntry, context: RuleContext): boolean {
  const reads = new Set(ruleReads(rule, entry));
  const { state } = context;
  const shown: StateReader = {
    get: (key) => (reads.has(key) ? state.get(key) : undefined),
    isLoaded: (key) => reads.has(key),
  };
  try {
    return rule.check(entry, { ...context, state: shown }) === true;
  } catch {
    return false;
  }
}
