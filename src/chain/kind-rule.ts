import type { CID } from "multiformats/cid";
import type { CustomEntry } from "../block/entry.ts";
import type { Role } from "../block/member.ts";
import type { StateReader } from "./state.ts";

/** What a rule may know: nothing that two nodes could see differently. */
export interface RuleContext {
  readonly ledger: CID;
  readonly height: number;
  /** The block's time, in ms. */
  readonly time: number;
  readonly author: string;
  /** The author's roles before this block. */
  readonly roles: readonly Role[];
  /** The state before this block; only keys named by {@link KindRule.reads} are there. */
  readonly state: StateReader;
}

/**
 * The rule of an entry kind that a ledger's policy registers: pure and deterministic. One that
 * throws refuses the entry.
 */
export interface KindRule {
  readonly name: string;
  /** CID of the rule's code or text, as the policy lists it. */
  readonly rule: CID;
  /** State keys that `check` wants to read. */
  reads?(entry: CustomEntry): readonly string[];
  /** @returns whether the entry may stand */
  check(entry: CustomEntry, context: RuleContext): boolean;
}

/** The state keys that a rule wants to read for an entry. */
export function ruleReads(rule: KindRule | undefined, entry: CustomEntry): readonly string[] {
  try {
    return rule?.reads?.(entry) ?? [];
  } catch {
    // What cannot say what it reads will not admit the entry either.
    return [];
  }
}

/** Runs a rule, showing it of the state only what it asked for, so that all nodes see the same. */
export function checkByRule(rule: KindRule, entry: CustomEntry, context: RuleContext): boolean {
  const reads = new Set(ruleReads(rule, entry));
  const { state } = context;
  const shown: StateReader = { get: (key) => (reads.has(key) ? state.get(key) : undefined) };
  try {
    return rule.check(entry, { ...context, state: shown }) === true;
  } catch {
    return false;
  }
}
