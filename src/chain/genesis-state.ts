import type { Genesis } from "../block/genesis.ts";
import { ChainError } from "../errors.ts";
import { encodePolicyState, overlayState, POLICY_KEY } from "./state.ts";
import { addMember, provesPossession, isSequencer } from "./member-keys.ts";

/**
 * The state that a genesis record sets up.
 *
 * @throws {ChainError} `ERR_CHAIN_GENESIS` when a key lacks a required proof of possession
 */
export function genesisState(genesis: Genesis): ReadonlyMap<string, Uint8Array | null> {
  const state = overlayState({ get: () => undefined, isLoaded: () => true });
  for (const member of genesis.members) {
    if (!member.keys.every((key) => provesPossession(genesis.nonce, member.actor, key))) {
      throw new ChainError(
        "ERR_CHAIN_GENESIS",
        "a key in the genesis record lacks its proof of possession",
      );
    }
    addMember(state, member, 0);
  }
  const { threshold, maxDrift, maxTxAge, checkpointKeys, cosignaturePolicy, kinds, contracts } =
    genesis;
  state.set(
    POLICY_KEY,
    encodePolicyState({
      threshold,
      maxDrift,
      maxTxAge,
      checkpointKeys,
      cosignaturePolicy,
      kinds,
      contracts,
      members: genesis.members.length,
      sequencers: genesis.members.filter(isSequencer).length,
    }),
  );
  return state.changes;
}
