import type { CID } from "multiformats/cid";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectBytes,
  expectCid,
  expectMap,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../../crypto/signing-input.ts";
import { signWith, type Signer } from "../../identity/signer.ts";
import type { PersonIdentifier } from "../entries/subjects.ts";
import { MAX_ASK_BYTES } from "../../transport/types.ts";

import { expectPerson } from "./request.ts";

/** What is asked of a custodian besides records about a person. */
export type MessageKind = "deliver" | "pull" | "blobs";

/** All of them. */
const MESSAGE_KINDS: readonly MessageKind[] = ["deliver", "pull", "blobs"];

/** A message to a custodian. */
export interface Message {
  readonly v: 1;
  readonly ledger: CID;
  /** 16 random bytes. */
  readonly id: Uint8Array;
  /** did:key of who asks. */
  readonly from: string;
  /** did:key of the custodian that is asked. */
  readonly to: string;
  /** Id of the asker's agreement key that replies are sealed to. */
  readonly recipient: Uint8Array;
  readonly kind: MessageKind;
  /** Whom a message of a person is about, and by whose attested keys it counts; absent from a member's. */
  readonly about?: PersonIdentifier;
  /** When it was made and until when it counts, in ms since 1970. */
  readonly time: number;
  readonly expires: number;
  /** In the encoding of its kind. */
  readonly content: Uint8Array;
}

/** A message with its sender's signature. */
export interface SignedMessage {
  readonly message: Uint8Array;
  readonly key: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
}

/** Makes and signs a message. */
export async function signMessage(
  message: Omit<Message, "v" | "from">,
  signer: Signer,
): Promise<Uint8Array> {
  const bytes = encode({ v: 1, from: signer.actor, ...message });
  const sig = await signWith(signer, "message", bytes);
  return encode({ message: bytes, key: signer.key, alg: signer.alg, sig });
}

/**
 * Reads a signed message, without judging its signature.
 *
 * @throws {EncodingError} when the bytes are none
 */
export function decodeSignedMessage(bytes: Uint8Array): SignedMessage {
  const map = expectMap(
    decode(bytes, { maxBytes: MAX_ASK_BYTES, maxDepth: 2, maxItems: 16 }),
    "signed message",
    ["message", "key", "alg", "sig"],
  );
  return {
    message: expectBytes(map["message"], "signed message.message"),
    key: expectBytes(map["key"], "signed message.key", 32),
    alg: expectOneOf(map["alg"], "signed message.alg", SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], "signed message.sig", 64),
  };
}

/**
 * Reads a message.
 *
 * @throws {EncodingError} when the bytes are none
 */
export function decodeMessage(bytes: Uint8Array): Message {
  const map = expectMap(
    decode(bytes, { maxBytes: MAX_ASK_BYTES, maxDepth: 2, maxItems: 32 }),
    "message",
    ["v", "ledger", "id", "from", "to", "recipient", "kind", "time", "expires", "content"],
    ["about"],
  );
  const about = map["about"];
  return {
    v: expectVersion(map["v"], "message"),
    ledger: expectCid(map["ledger"], "message.ledger"),
    id: expectBytes(map["id"], "message.id", 16),
    from: expectString(map["from"], "message.from", 128),
    to: expectString(map["to"], "message.to", 128),
    recipient: expectBytes(map["recipient"], "message.recipient", 32),
    kind: expectOneOf(map["kind"], "message.kind", MESSAGE_KINDS),
    time: expectUint(map["time"], "message.time"),
    expires: expectUint(map["expires"], "message.expires"),
    content: expectBytes(map["content"], "message.content"),
    ...(about === undefined ? {} : { about: expectPerson(about, "message.about") }),
  };
}
