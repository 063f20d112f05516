import { decode, encode } from "../codec/dag-cbor.ts";
import { expectArray, expectMap, expectVersion } from "../codec/shape.ts";
import { encodeMapProof } from "../merkle/map-proof.ts";
import type { ChainStore } from "../storage/types.ts";
import type { Chain } from "./chain.ts";
import { openPolicySteps } from "./policy-steps.ts";
import { expectPolicyStep, MAX_POLICY_STEPS } from "./receipt.ts";
import { trustFromGenesis, type PolicyStep } from "./trust.ts";

/** Writes steps as canonical DAG-CBOR: `{v: 1, steps}`, each step as in a receipt. */
export function encodePolicyPath(steps: readonly PolicyStep[]): Uint8Array {
  return encode({
    v: 1,
    steps: steps.map((step) => ({ ...step, proof: encodeMapProof(step.proof) })),
  });
}

/**
 * Reads steps, and verifies none of them.
 *
 * @throws {EncodingError} when the bytes are not the canonical form
 */
export function decodePolicyPath(bytes: Uint8Array): readonly PolicyStep[] {
  const map = expectMap(
    decode(bytes, { maxBytes: 4 * 1024 * 1024, maxDepth: 8, maxItems: 100_000 }),
    "policy path",
    ["v", "steps"],
  );
  expectVersion(map["v"], "policy path");
  return expectArray(map["steps"], "policy path.steps", MAX_POLICY_STEPS).map(expectPolicyStep);
}

/** The steps that lead from the genesis record to the newest policy that kept checkpoints prove. */
export async function policyPath(chain: Chain, chains: ChainStore): Promise<readonly PolicyStep[]> {
  if (chain.size === 0) return [];
  const reached = await openPolicySteps(chain, chains).reach(trustFromGenesis(chain.genesisBytes));
  return reached.reduce((a, b) =>
    (b.trust.policyHeight ?? -1) > (a.trust.policyHeight ?? -1) ? b : a,
  ).path;
}
