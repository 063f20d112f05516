import type { StartedReplica } from "../../network/open-replica.ts";
import type { PeerFault } from "../../network/peer-list.ts";
import type { LedgerPeer } from "../../transport/types.ts";
import type { LedgerContext } from "../context.ts";
import type { Outbox } from "./outbox.ts";

/** What writing from afar depends on. */
export interface RemoteOptions {
  readonly context: LedgerContext;
  readonly outbox: Outbox;
  readonly replica: StartedReplica;
  readonly home: LedgerPeer;
  readonly onFault: (fault: PeerFault) => void;
  /** Milliseconds for which a call waits for its block. */
  readonly patience: number;
  /** Clock in ms that never runs backwards. */
  readonly elapsed: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Deletes what was sealed for entries that can never be recorded, unless they are on the ledger. */
  readonly discard: (entries: readonly Uint8Array[]) => Promise<void>;
  /** Whether an entry of this member is on the ledger, as far as it is here. */
  readonly isRecorded: (id: Uint8Array) => Promise<boolean>;
}
