import { sha256 } from "#crypto";
import type { CID } from "../../codec/cid.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectArray,
  expectBytes,
  expectCid,
  expectMap,
  expectNoNuls,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import { directiveCid, encodeDirective } from "../../consent/model/directive.ts";
import { MAX_TEXT, type Directive } from "../../consent/model/model.ts";
import { WITNESS_FORMS, type WitnessForm } from "../../consent/model/witness.ts";
import type { Standing } from "../../consent/model/snapshot.ts";
import { verifySignature } from "../../crypto/sign.ts";
import type { SignatureAlg } from "../../crypto/signing-input.ts";
import { EncodingError } from "../../errors.ts";
import { signWith, type Signer } from "../../identity/signer.ts";
import { isAbout, readSignature, type AboutWhom } from "./signed-directive.ts";

/** An organisation's statement of how it took down a person's directive. */
export interface Witness {
  readonly v: 1;
  readonly ledger: CID;
  /** did:key of the organisation. */
  readonly by: string;
  /** Id of its `sign` key. */
  readonly key: Uint8Array;
  /** 32 bytes that commit to the person: see `commitToPerson`. */
  readonly about: Uint8Array;
  /** The organisation's user who took it down. */
  readonly user: string;
  readonly form: WitnessForm;
  /** When, in ms since 1970. */
  readonly takenAt: number;
  /** `SHA256(salt ‖ form)` of each piece of evidence, 32 bytes each, in order. */
  readonly evidence: readonly Uint8Array[];
}

/** A directive that an organisation says a person gave. */
export interface WitnessedDirective {
  /** Canonical bytes of the directive. */
  readonly directive: Uint8Array;
  /** Canonical bytes of the witness, as they were signed. */
  readonly witness: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
}

/** Maximum number of pieces of evidence of one directive. */
export const MAX_EVIDENCE = 64;
const LIMITS = { maxBytes: 65_536, maxDepth: 3, maxItems: 256 } as const;

/** Commits to a piece of evidence: `SHA256(salt ‖ bytes)`. */
export const commitToEvidence = (salt: Uint8Array, bytes: Uint8Array): Uint8Array =>
  sha256(salt, bytes);

/**
 * Reads a witness, accepting only its canonical form.
 *
 * @throws {EncodingError} when the bytes are not a witness
 */
export function decodeWitness(bytes: Uint8Array): Witness {
  const names = ["v", "ledger", "by", "key", "about", "user", "form", "takenAt", "evidence"];
  const map = expectMap(decode(bytes, LIMITS), "witness", names);
  expectNoNuls(map, "witness");
  const name = (field: string): string => {
    const text = expectString(map[field], `witness.${field}`, MAX_TEXT);
    if (text !== "") return text;
    throw new EncodingError("ERR_ENCODING_SHAPE", `witness.${field} must not be empty`);
  };
  return {
    v: expectVersion(map["v"], "witness"),
    ledger: expectCid(map["ledger"], "witness.ledger"),
    by: name("by"),
    key: expectBytes(map["key"], "witness.key", 32),
    about: expectBytes(map["about"], "witness.about", 32),
    user: name("user"),
    form: expectOneOf(map["form"], "witness.form", WITNESS_FORMS),
    takenAt: expectUint(map["takenAt"], "witness.takenAt"),
    evidence: expectArray(map["evidence"], "witness.evidence", MAX_EVIDENCE).map((one) =>
      expectBytes(one, "witness.evidence", 32),
    ),
  };
}

const inputOf = (directive: CID, witness: Uint8Array): Uint8Array => encode([directive, witness]);

/**
 * Signs, as an organisation, that a person gave a directive.
 *
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when the directive is not well formed
 * @throws {EncodingError} when the witness is not well formed
 */
export async function witnessDirective(
  directive: Directive,
  signer: Signer,
  told: Omit<Witness, "v" | "by" | "key">,
): Promise<Uint8Array> {
  const { ledger, about, user, form, takenAt, evidence } = told;
  const bytes = encodeDirective(directive);
  const witness = encode({
    v: 1,
    by: signer.actor,
    key: signer.key,
    ...{ ledger, about, user, form, takenAt, evidence },
  });
  decodeWitness(witness);
  const sig = await signWith(
    signer,
    "witnessed-directive",
    inputOf(directiveCid(directive), witness),
  );
  return encode({ directive: bytes, witness, alg: signer.alg, sig });
}

/** Reads a witnessed directive from its decoded form, without judging its signature. */
export function readWitnessedDirective(value: unknown): WitnessedDirective {
  const map = expectMap(value, "witnessed directive", ["directive", "witness", "alg", "sig"]);
  return {
    directive: expectBytes(map["directive"], "witnessed directive.directive"),
    witness: expectBytes(map["witness"], "witnessed directive.witness"),
    ...readSignature(map, "witnessed directive"),
  };
}

/**
 * Reads a witnessed directive, without judging its signature.
 *
 * @throws {EncodingError} when the bytes are not a witnessed directive
 */
export function decodeWitnessedDirective(bytes: Uint8Array): WitnessedDirective {
  return readWitnessedDirective(decode(bytes));
}

/** The key that a witness names, if it was then in force as a signing key of the organisation. */
export interface WitnessKey {
  readonly alg: SignatureAlg;
  readonly publicKey: Uint8Array;
}

/**
 * Whether a witnessed directive is valid for a person, by its signature, ledger and person. It does not
 * judge whether the witness is trusted.
 *
 * @param key - `undefined` if the organisation had no such key in force when the directive was filed
 */
export function standingOfWitnessed(
  { witnessed, witness, cid }: WitnessedForm,
  whom: AboutWhom,
  key: WitnessKey | undefined,
): Standing {
  if (!witness.ledger.equals(whom.ledger)) return { void: "it was witnessed for another ledger" };
  if (!isAbout(witness.about, whom)) return { void: "it was witnessed about another person" };
  if (key === undefined || key.alg !== witnessed.alg) {
    return { void: "the witness's key was not in force" };
  }
  const good = verifySignature({
    alg: key.alg,
    publicKey: key.publicKey,
    signature: witnessed.sig,
    what: "witnessed-directive",
    bytes: inputOf(cid, witnessed.witness),
  });
  return good ? "valid" : { void: "the signature does not hold" };
}

/** A witnessed directive with its decoded witness. */
export interface WitnessedForm {
  readonly witnessed: WitnessedDirective;
  readonly witness: Witness;
  readonly cid: CID;
}
