import type { CID } from "multiformats/cid";
import type { StateOverlay, SystemState } from "./state.ts";

/** The states before and within a block that governance entries read and change. */
export interface GovernanceContext {
  readonly ledger: CID;
  readonly height: number;
  readonly author: string;
  /** Id of the key that signed the transaction. */
  readonly signedWith: Uint8Array;
  /** The state before the block; authority is checked against it. */
  readonly before: SystemState;
  /** The state after the entries so far; receives the changes. */
  readonly within: StateOverlay;
}
