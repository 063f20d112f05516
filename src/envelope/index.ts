export type { BulkOptions } from "./bulk.ts";
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
export type { Padding } from "./padding.ts";
export type { SuiteName } from "./suite.ts";
export type { ByteSource } from "./byte-source.ts";
export {
  type Field,
  FIELDS_PART,
  type FieldsRefusal,
  type FieldsResult,
  prepareFields,
  type PreparedFields,
  proveFields,
  readFields,
  verifyFields,
} from "./disclosed.ts";
export {
  type EnvelopeErasure,
  type EnvelopeRecords,
  type ErasableBlobs,
  type ErasableRecords,
  eraseEnvelope,
  type EraseEnvelopeOptions,
  listEnvelope,
  type Unreached,
} from "./erase.ts";
export {
  decodeHealthLink,
  encodeHealthLink,
  type ExportedJwe,
  exportJwe,
  type HealthLink,
  type ImportedJwe,
  importJwe,
} from "./jwe.ts";
export {
  type ByteRange,
  openPart,
  type OpenPartOptions,
  openRange,
  openReadable,
  openStream,
  type PartReader,
} from "./open-stream.ts";
export { type Absence, type BlockReader } from "./read-block.ts";
export {
  type PartStream,
  type SealedStream,
  sealStream,
  type SealStreamOptions,
} from "./seal-stream.ts";
export {
  type SupersessionRefusal,
  type SupersessionResult,
  verifySupersession,
} from "./supersede.ts";
