import { decodeGenesis } from "../block/genesis.ts";
import { decodeHeader } from "../block/header.ts";
import { equalBytes } from "../bytes/compare.ts";
import { utf8ToBytes } from "../bytes/utf8.ts";
import { encode } from "../codec/dag-cbor.ts";
import { ChainError } from "../errors.ts";
import { verifyMap } from "../merkle/map-proof.ts";
import type { LedgerPolicy } from "../block/policy.ts";
import type { Chain } from "./chain.ts";
import { decodePolicyState, POLICY_KEY } from "./state.ts";

/** The part of a ledger's policy that determines whose signatures a checkpoint needs. */
export type CheckpointPolicy = Pick<LedgerPolicy, "checkpointKeys" | "cosignaturePolicy">;

/**
 * The policy that a checkpoint of this size is verified by: that of the state before its last
 * block, which is the newest that the checkpoint can prove, or that of the genesis record if there
 * is no block.
 *
 * @throws {ChainError} `ERR_CHAIN_INVALID` when the store's state is damaged
 */
export async function policyAt(chain: Chain, size: number): Promise<CheckpointPolicy> {
  if (size === 0) return decodeGenesis(chain.genesisBytes);
  const { tip } = chain;
  const last = tip.size === size ? tip.header : undefined;
  const header = last == null ? (await chain.readBlock(size - 1)).header : decodeHeader(last);
  const { value, proof } = await chain.proveState(POLICY_KEY, size - 1);
  if (value === null || !verifyMap(header.state, utf8ToBytes(POLICY_KEY), value, proof).ok) {
    throw new ChainError("ERR_CHAIN_INVALID", `the state before block ${size - 1} is damaged`);
  }
  return decodePolicyState(value);
}

/** Whether two policies accept the same checkpoints. */
export function samePolicy(a: CheckpointPolicy, b: CheckpointPolicy): boolean {
  const bytes = ({ checkpointKeys, cosignaturePolicy }: CheckpointPolicy): Uint8Array =>
    encode({ checkpointKeys, cosignaturePolicy });
  return equalBytes(bytes(a), bytes(b));
}
