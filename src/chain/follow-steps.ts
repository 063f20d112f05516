import type { CID } from "multiformats/cid";
import { decodeHeader } from "../block/header.ts";
import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectCid, expectMap, expectVersion } from "../codec/shape.ts";
import { EncodingError } from "../errors.ts";
import { expectPolicyStep, MAX_POLICY_STEPS, policyStepFields } from "./receipt.ts";
import { followStep, type PolicyStep, type Trust, type TrustResult } from "./trust.ts";

/** How far a reader has come: two numbers of its trust, see `policyPosition`. */
export interface PolicyPosition {
  /** Height whose state proved the policy that the reader has; absent for that of the genesis record. */
  readonly policyHeight?: number;
  /** Size of the checkpoint that the reader has seen; absent if it has seen none. */
  readonly size?: number;
}

/** Bytes of steps beyond which the rest is left for the next call. */
const MOST_BYTES: number = 1024 * 1024;
/** A single step may exceed {@link MOST_BYTES}. */
const MAX_BYTES: number = 4 * 1024 * 1024;
/** Bytes of steps that fit in the longest form, with all that is around them. */
export const ALL_STEPS_BYTES: number = MAX_BYTES - 1024;

/**
 * Writes steps of policy for a reader, as many as fit in 1 MiB and at least one. The reader follows
 * them and asks for those after them.
 *
 * @param most - bytes that the steps may have, if they are more than one
 */
export function encodePolicySteps(
  ledger: CID,
  steps: readonly PolicyStep[],
  most: number = MOST_BYTES,
): Uint8Array {
  const fitting: Record<string, unknown>[] = [];
  let bytes = 0;
  for (const step of steps.slice(0, MAX_POLICY_STEPS)) {
    const fields = policyStepFields(step);
    bytes += encode(fields).length;
    if (fitting.length > 0 && bytes > most) break;
    fitting.push(fields);
  }
  return encode({ v: 1, ledger, steps: fitting });
}

/**
 * Where a reader stands, to ask for the steps of policy since: see `hl.governance.policySteps`.
 *
 * @example
 * const { policyHeight, size } = policyPosition(trust);
 */
export function policyPosition({ policyHeight, size, root }: Trust): PolicyPosition {
  return {
    ...(policyHeight === undefined ? {} : { policyHeight }),
    ...(root === undefined ? {} : { size }),
  };
}

/**
 * Follows the steps of policy that a ledger's member or host gives, from the policy that a reader
 * trusts. Each step's checkpoint must satisfy the policy before it and the one after it, and must be
 * of the history of the root that was seen. Every step counts as seen: trust without a root gets one.
 *
 * If steps were withheld, trust stays where the given ones lead.
 *
 * @param bytes - the result of `hl.governance.policySteps`; borrowed
 * @returns the trust after the last step, or the reason why a step is not believed, which is
 *   `no-checkpoint-signature` also when a step is missing before it
 * @example
 * const followed = followPolicySteps(trust, policySteps);
 * if (!followed.ok) throw new Error(`the policy cannot be followed: ${followed.reason}`);
 * const newest = followCheckpoint(followed.trust, note, consistency);
 */
export function followPolicySteps(trust: Trust, bytes: Uint8Array): TrustResult {
  try {
    const { ledger, steps } = decodePolicySteps(bytes);
    if (!ledger.equals(trust.ledger)) return { ok: false, reason: "other-ledger" };
    let followed: TrustResult = { ok: true, trust };
    for (const step of steps) {
      // Passed before, and signed by keys that may not be trusted any more.
      if (decodeHeader(step.header).height < (trust.policyHeight ?? 0)) continue;
      followed = followStep(followed.trust, step);
      if (!followed.ok) return followed;
    }
    return followed;
  } catch (error) {
    if (error instanceof EncodingError) return { ok: false, reason: "malformed" };
    throw error;
  }
}

/**
 * Reads steps of policy, without judging them.
 *
 * @throws {EncodingError} when the bytes are none
 */
export function decodePolicySteps(bytes: Uint8Array): {
  readonly ledger: CID;
  readonly steps: readonly PolicyStep[];
} {
  const map = expectMap(
    decode(bytes, { maxBytes: MAX_BYTES, maxDepth: 8, maxItems: 100_000 }),
    "policy steps",
    ["v", "ledger", "steps"],
  );
  expectVersion(map["v"], "policy steps");
  return {
    ledger: expectCid(map["ledger"], "policy steps.ledger"),
    steps: expectArray(map["steps"], "policy steps.steps", MAX_POLICY_STEPS).map(expectPolicyStep),
  };
}
