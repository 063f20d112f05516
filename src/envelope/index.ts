export { type BulkOptions, MAX_RECIPIENTS } from "./bulk.ts";
export {
  type CollectionKey,
  type CollectionWrap,
  createCollection,
  decodeCollectionWrap,
  nextEpoch,
  unwrapFromCollection,
  wipeCollectionKey,
  wrapForCollection,
  type WrapOptions,
} from "./collection.ts";
export { grantMany, type GrantManyOptions, makeGrants, type MakeGrantsOptions } from "./grants.ts";
export {
  decodeMembership,
  type ExpectedMembership,
  type Membership,
  type MembershipRefusal,
  openMembership,
  type OpenMembershipOptions,
  sealMembership,
  type SealMembershipOptions,
  sealMemberships,
  type SealMembershipsOptions,
  verifyMembership,
} from "./membership.ts";
export { type AgreementAlg, type CoseRecipient } from "../crypto/cose-hpke.ts";
export {
  type GrantTerms,
  makeGrant,
  type MakeGrantOptions,
  openGrant,
  type OpenGrantOptions,
  rewrapGrant,
  type RewrapOptions,
} from "./grant.ts";
export {
  decodeGrant,
  type ExpectedGrant,
  type Grant,
  type GrantRefusal,
  verifyGrant,
} from "./grant-record.ts";
export {
  decodeSignedHeader,
  type EnvelopeContext,
  type EnvelopeHeader,
  type EnvelopePart,
  type HeaderRefusal,
  type SignedHeader,
  type SigningKey,
  verifyHeader,
} from "./header.ts";
export { type EnvelopeKeys, type KeyContext, wipeKeys } from "./keys.ts";
export { type OpenedEnvelope, openEnvelope, type OpenOptions } from "./open.ts";
export { type PartContent, type SealedEnvelope, sealEnvelope, type SealOptions } from "./seal.ts";
export { type Suite, type SuiteName } from "./suite.ts";
