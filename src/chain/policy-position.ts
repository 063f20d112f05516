import { equalBytes } from "../bytes/compare.ts";
import { ProofError } from "../errors.ts";
import type { Chain } from "./chain.ts";
import {
  ALL_STEPS_BYTES,
  decodePolicySteps,
  encodePolicySteps,
  followPolicySteps,
  type PolicyPosition,
} from "./follow-steps.ts";
import { checkpointOf, connectPath } from "./make-receipt.ts";
import { policyAt } from "./policy-at.ts";
import type { PolicySteps, Reached } from "./policy-steps.ts";
import { trustFromGenesis, type PolicyStep, type Trust } from "./trust.ts";

/**
 * The trust of a reader at a position of this chain's history.
 *
 * @throws {ProofError} `ERR_PROOF_RANGE` when this chain has fewer blocks
 */
export async function trustAt(
  chain: Chain,
  { policyHeight, size }: PolicyPosition,
): Promise<Trust> {
  const within = (value: number | undefined, most: number): boolean =>
    value === undefined || (Number.isSafeInteger(value) && value >= 0 && value <= most);
  if (!within(policyHeight, chain.size - 1) || !within(size, chain.size)) {
    throw new ProofError("ERR_PROOF_RANGE", "the reader has seen more blocks than this ledger has");
  }
  return {
    ...trustFromGenesis(chain.genesisBytes),
    ...(policyHeight === undefined
      ? {}
      : { ...(await checkpointPolicyAt(chain, policyHeight)), policyHeight }),
    ...(size === undefined ? {} : { size, root: await chain.rootAt(size) }),
  };
}

async function checkpointPolicyAt(chain: Chain, height: number) {
  const { checkpointKeys, cosignaturePolicy } = await policyAt(chain, height + 1);
  return { checkpointKeys, cosignaturePolicy };
}

/** The newest of the policies that a trust leads to. */
export function newestReached(reached: readonly Reached[]): Reached {
  const heightOf = ({ trust }: Reached): number => trust.policyHeight ?? -1;
  return reached.reduce((a, b) => (heightOf(b) > heightOf(a) ? b : a));
}

/** The kept steps from the policy that a reader has to the policy in force, as far as they lead. */
export async function stepsSince(
  chain: Chain,
  kept: PolicySteps,
  since: PolicyPosition = {},
): Promise<readonly PolicyStep[]> {
  const trust = await trustAt(chain, since);
  return connectSteps(chain, newestReached(await kept.reach(trust)).path, trust);
}

/** Proves that each step's checkpoint is of the same history as all that the reader saw before it. */
export async function connectSteps(
  chain: Chain,
  path: readonly PolicyStep[],
  from: Trust,
): Promise<readonly PolicyStep[]> {
  const last = path.at(-1);
  if (last === undefined) return [];
  const { checkpoint } = last;
  return (
    await connectPath(chain, checkpointOf(checkpoint), { checkpoint, policyPath: path, from })
  ).policyPath;
}

/**
 * The checkpoints of steps that another member or a host gave, if all of them are of this chain's
 * history and lead somewhere from the genesis record.
 *
 * @throws {EncodingError} when the bytes are no steps
 * @throws {ProofError} `ERR_PROOF_INVALID` when a step is not believed, `ERR_PROOF_UNAVAILABLE` when it
 *   is of another history, `ERR_PROOF_RANGE` when it is of more blocks than this chain has
 */
export async function checkpointsOfSteps(
  chain: Chain,
  bytes: Uint8Array,
): Promise<readonly Uint8Array[]> {
  const { steps } = decodePolicySteps(bytes);
  const followed = followPolicySteps(trustFromGenesis(chain.genesisBytes), bytes);
  if (!followed.ok) {
    throw new ProofError(
      "ERR_PROOF_INVALID",
      `a step of policy is not believed: ${followed.reason}`,
    );
  }
  for (const { checkpoint } of steps) {
    const { size, root } = checkpointOf(checkpoint);
    if (size > chain.size) {
      throw new ProofError("ERR_PROOF_RANGE", "a step of policy covers more blocks than there are");
    }
    if (!equalBytes(root, await chain.rootAt(size))) {
      throw new ProofError("ERR_PROOF_UNAVAILABLE", "a step of policy is of another history");
    }
  }
  return steps.map(({ checkpoint }) => checkpoint);
}

/**
 * Steps without those that cover more blocks than this chain has, and all after them.
 *
 * @throws {EncodingError} when the bytes are no steps
 */
export function stepsWithin(chain: Chain, bytes: Uint8Array): Uint8Array {
  const { ledger, steps } = decodePolicySteps(bytes);
  const beyond = steps.findIndex(({ checkpoint }) => checkpointOf(checkpoint).size > chain.size);
  if (beyond === -1) return bytes;
  return encodePolicySteps(ledger, steps.slice(0, beyond), ALL_STEPS_BYTES);
}
