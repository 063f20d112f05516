import { decode, encode } from "../../codec/dag-cbor.ts";
import { entryIdBytes, toEntryId, type EntryId } from "../../codec/ids.ts";
import {
  expectArray,
  expectBytes,
  expectMap,
  expectOneOf,
  expectString,
  expectVersion,
} from "../../codec/shape.ts";
import { MAX_ASK_BYTES } from "../../transport/types.ts";

/** Most earlier directives of a lineage that a delivery names. */
export const MAX_AFTER = 256;
/** Most custodians that one call delivers to. */
export const MAX_RECIPIENTS = 64;

/** The content of a message of kind `deliver`. */
export interface DeliverContent {
  /** The sender's consent entry, shown. */
  readonly entry: Uint8Array;
  /** The sender's earlier directives of the lineage. */
  readonly after: readonly EntryId[];
}

/** What a custodian replies to a delivery. */
export interface DeliverReply {
  readonly status: "filed" | "held" | "refused";
  /** The recipient's consent entry, shown, if it was filed. */
  readonly entry?: Uint8Array;
}

/** Writes the content of a delivery. */
export const encodeDeliver = ({ entry, after }: DeliverContent): Uint8Array =>
  encode({ v: 1, entry, after: after.map(entryIdBytes) });

/** @throws {EncodingError} when the bytes are none */
export function decodeDeliver(bytes: Uint8Array): DeliverContent {
  const map = expectMap(decode(bytes, LIMITS), "delivery", ["v", "entry", "after"]);
  expectVersion(map["v"], "delivery");
  return {
    entry: expectBytes(map["entry"], "delivery.entry"),
    after: expectArray(map["after"], "delivery.after", MAX_AFTER).map((id) =>
      toEntryId(expectBytes(id, "delivery.after", 32)),
    ),
  };
}

const LIMITS = { maxBytes: MAX_ASK_BYTES, maxDepth: 3, maxItems: 512 } as const;
const STATUSES = ["filed", "held", "refused"] as const;

/** Writes a reply to a delivery. */
export const encodeDeliverReply = (reply: DeliverReply): Uint8Array => encode({ v: 1, ...reply });

/** @throws {EncodingError} when the bytes are none */
export function decodeDeliverReply(bytes: Uint8Array): DeliverReply {
  const map = expectMap(decode(bytes, LIMITS), "reply", ["v", "status"], ["entry"]);
  expectVersion(map["v"], "reply");
  const entry = map["entry"];
  return {
    status: expectOneOf(map["status"], "reply.status", STATUSES),
    ...(entry === undefined ? {} : { entry: expectBytes(entry, "reply.entry") }),
  };
}

/** The content of a `deliver` entry: which directives are to be delivered, in this order, and to whom. */
export interface QueuedContent {
  readonly consents: readonly EntryId[];
  readonly to: readonly string[];
}

/** The content of a `delivered` entry: what became of a directive at one custodian. */
export interface OutcomeContent {
  readonly consent: EntryId;
  readonly to: string;
  readonly status: "filed" | "held";
  /** The recipient's consent entry. */
  readonly entry?: EntryId;
}

/** Writes what is to be delivered. */
export const encodeQueued = ({ consents, to }: QueuedContent): Uint8Array =>
  encode({ v: 1, consents: consents.map(entryIdBytes), to });

/** @throws {EncodingError} when the bytes are none */
export function decodeQueued(bytes: Uint8Array): QueuedContent {
  const map = expectMap(decode(bytes), "deliver", ["v", "consents", "to"]);
  expectVersion(map["v"], "deliver");
  return {
    consents: expectArray(map["consents"], "deliver.consents", MAX_AFTER + 1).map((id) =>
      toEntryId(expectBytes(id, "deliver.consents", 32)),
    ),
    to: expectArray(map["to"], "deliver.to", MAX_RECIPIENTS).map((did) =>
      expectString(did, "deliver.to", 128),
    ),
  };
}

/** Writes what became of a delivery. */
export const encodeOutcome = ({ consent, entry, ...rest }: OutcomeContent): Uint8Array =>
  encode({
    ...{ v: 1, consent: entryIdBytes(consent), ...rest },
    ...(entry === undefined ? {} : { entry: entryIdBytes(entry) }),
  });

/** @throws {EncodingError} when the bytes are none */
export function decodeOutcome(bytes: Uint8Array): OutcomeContent {
  const map = expectMap(decode(bytes), "delivered", ["v", "consent", "to", "status"], ["entry"]);
  expectVersion(map["v"], "delivered");
  const entry = map["entry"];
  return {
    consent: toEntryId(expectBytes(map["consent"], "delivered.consent", 32)),
    to: expectString(map["to"], "delivered.to", 128),
    status: expectOneOf(map["status"], "delivered.status", ["filed", "held"]),
    ...(entry === undefined ? {} : { entry: toEntryId(expectBytes(entry, "delivered.entry", 32)) }),
  };
}
