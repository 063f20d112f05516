/**
 * What organisations that share no server need for one history: serve a ledger to others, ask
 * others for it, and cosign each other's checkpoints.
 *
 * @module
 */
export {
  httpPeer,
  type HttpPeerOptions,
  type PeerSession,
  type PublicPeerOptions,
} from "../transport/http.ts";
export { PeerBusy } from "../transport/errors.ts";
export type {
  AskOptions,
  BlockRange,
  BundleRequest,
  CheckpointOptions,
  CustodianPeer,
  HomePeer,
  LedgerPeer,
  PendingOptions,
  SubmitOutcome,
  TileRequest,
} from "../transport/types.ts";
export {
  followEntries,
  type FollowedEntry,
  type FollowedSource,
  type FollowEntriesOptions,
} from "./follow-entries.ts";
export {
  collectDescription,
  type CollectDescriptionOptions,
  type CollectedDescription,
} from "./collect-description.ts";
export {
  custodianHandler,
  type AnsweringLedger,
  type CustodianHandlerOptions,
} from "./custodian-handler.ts";
export {
  cosignPending,
  type CosignPendingOptions,
  type RefusedCheckpoint,
} from "./cosign-pending.ts";
export type { ValidatorFault, ValidatorRefusal } from "./check-pending.ts";
export { descriptionHandler, type DescriptionHandlerOptions } from "./description-handler.ts";
export { ledgerHandler, type LedgerHandlerOptions } from "./ledger-handler.ts";
export { answerRelayed, type AnswerRelayedOptions } from "./answer-relayed.ts";
export { openReplica } from "./open-replica.ts";
export type { PeerFault } from "./peer-list.ts";
export type { PeerView } from "./peer-views.ts";
export {
  type PolledCosigners,
  polledCosigners,
  type WaitingCheckpoint,
} from "../chain/polled-cosigners.ts";
export type { FoundFork, LedgerCopy, OpenReplicaOptions, Replica } from "./replica.ts";
export {
  publishLedger,
  type PublishedLedger,
  type PublishLedgerOptions,
} from "./publish-ledger.ts";
export type { PublishTarget } from "../transport/publish-target.ts";
export { type PublishedHeads, publishHeads, type PublishHeadsOptions } from "./publish-heads.ts";
export { relayHandler, type RelayHandlerOptions } from "./relay-handler.ts";
export type { SessionOptions } from "./sessions.ts";
export type { LedgerSource } from "./source.ts";
export { type StateAnswer, verifyStateAnswer } from "./state-answer.ts";
export { witnessHandler, type WitnessHandlerOptions } from "./witness-handler.ts";
export { witnessPeer, type WitnessPeerOptions } from "./witness-peer.ts";
