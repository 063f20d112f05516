/**
 * What organisations that share no server need for one history: serve a ledger to others, and ask
 * others for it.
 *
 * @module
 */
export { httpPeer, type HttpPeerOptions } from "../transport/http.ts";
export { PeerBusy } from "../transport/errors.ts";
export type {
  AskOptions,
  BundleRequest,
  CheckpointOptions,
  LedgerPeer,
  TileRequest,
} from "../transport/types.ts";
export { ledgerHandler, type LedgerHandlerOptions } from "./ledger-handler.ts";
export { type PublishedHeads, publishHeads, type PublishHeadsOptions } from "./publish-heads.ts";
export type { LedgerSource } from "./source.ts";
export { type StateAnswer, verifyStateAnswer } from "./state-answer.ts";
