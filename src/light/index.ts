/**
 * A reader without a store, in a browser or anywhere else: follows a ledger's checkpoints over handlers and static
 * hosts, and verifies its policy, entries, receipts and state.
 *
 * @module
 */
export { decodeTrust, encodeTrust, type KeptTrust } from "../chain/kept-trust.ts";
export {
  decodeForkEvidence,
  encodeForkEvidence,
  type ForkEvidence,
} from "../chain/fork-evidence.ts";
export {
  decodeKeyState,
  decodeMemberState,
  decodePolicyState,
  type KeyState,
  type MemberState,
  type PolicyState,
} from "../chain/state.ts";
export { trustFromGenesis, type Trust } from "../chain/trust.ts";
export * from "../errors.ts";
export {
  type FollowedEntry,
  type FollowedSource,
  type FollowEntriesOptions,
  followEntries,
} from "../network/follow-entries.ts";
export { lightClient } from "../network/light-client.ts";
export type {
  LightClient,
  LightClientOptions,
  LightHead,
  ProvedState,
  ReadHeadersOptions,
} from "../network/light.ts";
export type { PeerFault } from "../network/peer-list.ts";
export { publicPeer, type PublicPeerOptions } from "../transport/http.ts";
export type { CustodianPeer, LedgerPeer } from "../transport/types.ts";
