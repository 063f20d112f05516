import type { CID } from "multiformats/cid";
import { hmacSha256 } from "#crypto";
import { encode } from "../codec/dag-cbor.ts";
import { equalBytes } from "../bytes/compare.ts";

/** The public parts of an entry that its subject tag is bound to. */
export interface TagContext {
  readonly ledger: CID;
  readonly author: string;
  readonly kind: string;
  readonly salt: Uint8Array;
  readonly body: CID | null;
}

/**
 * The tag of a person in one entry. Without the subject key, two tags of one person cannot be
 * distinguished from tags of two persons.
 *
 * @param subjectKey - 32 secret bytes of one person at one custodian; borrowed
 */
export function subjectTag(subjectKey: Uint8Array, context: TagContext): Uint8Array {
  const { ledger, author, kind, salt, body } = context;
  return hmacSha256(subjectKey, encode(["healthledger/tag/1", ledger, author, kind, salt, body]));
}

/** Whether a tag is the one that the subject key gives for this entry. */
export function isSubjectTag(
  tag: Uint8Array,
  subjectKey: Uint8Array,
  context: TagContext,
): boolean {
  return equalBytes(tag, subjectTag(subjectKey, context));
}
