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
