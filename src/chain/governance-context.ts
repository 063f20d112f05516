import type { CID } from "multiformats/cid";
import type { StateOverlay, SystemState } from "./state.ts";

/** The state before and within a block that governance entries work on. */
export interface GovernanceContext {
  readonly ledger: CID;
  readonly height: number;
  readonly author: string;
  /** Id of the key that signed the transaction. */
  readonly signedWith: Uint8Array;
  /** As it stood before the block: authority is judged by it. */
  readonly before: SystemState;
  /** As it stands after the entries so far: changes go here. */
  readonly within: StateOverlay;
}
