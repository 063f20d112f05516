import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import { sha256 } from "#crypto";
import { equalBytes } from "../../bytes/compare.ts";
import { assertBytes } from "../../bytes/guards.ts";
import { toHex } from "../../bytes/hex.ts";
import type { CID } from "../../codec/cid.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import { expectBytes, expectCid, expectMap, expectOneOf, type Fields } from "../../codec/shape.ts";
import { directiveCid, encodeDirective } from "../../consent/model/directive.ts";
import type { Directive } from "../../consent/model/model.ts";
import type { Standing } from "../../consent/model/snapshot.ts";
import { verifySignature } from "../../crypto/sign.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../../crypto/signing-input.ts";
import { ConsentError } from "../../errors.ts";
import { signWith, type Signer } from "../../identity/signer.ts";
import { idOf, newestOf, type FiledKey } from "./attested-key.ts";
import type { PersonIdentifier } from "../index/rows.ts";

/** A directive as its grantor signed it, for one ledger and about one person. */
export interface SignedDirective {
  /** Canonical bytes of the directive. */
  readonly directive: Uint8Array;
  readonly ledger: CID;
  /** 32 bytes that commit to the person: see {@link commitToPerson}. */
  readonly about: Uint8Array;
  /** Id of the grantor's key. */
  readonly key: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
}

/** The ledger and person that a statement must be about. */
export interface AboutWhom {
  readonly ledger: CID;
  /** The person's identifiers, as the custodian knows them. */
  readonly identifiers: readonly PersonIdentifier[];
  /** 32 bytes under which the statement commits to one of them. */
  readonly salt: Uint8Array;
}

/** Options of {@link signDirective}: what it binds a directive to. */
export interface SignDirectiveOptions {
  /** CID of the genesis record of the ledger that it is for. */
  readonly ledger: CID;
  /** An identifier by which the custodian knows the person that it is about. */
  readonly person: PersonIdentifier;
  /** 32 random bytes, used once; pass them to the custodian with the signed directive. */
  readonly salt: Uint8Array;
}

/**
 * Commits to an identifier of a person: `SHA256(salt ‖ dag-cbor([system, value]))`. Nobody learns anything
 * from it without knowing both the salt and the identifier.
 *
 * @param salt - 32 random bytes, used once; borrowed
 * @returns 32 bytes
 * @example
 * const salt = crypto.getRandomValues(new Uint8Array(32));
 * const about = commitToPerson(salt, { system: "urn:oid:1.2.3", value: "MRN-0012345" });
 */
export function commitToPerson(salt: Uint8Array, { system, value }: PersonIdentifier): Uint8Array {
  return sha256(salt, encode([system, value]));
}

/** Whether something commits to one of a person's identifiers. */
export function isAbout(
  about: Uint8Array,
  { salt, identifiers }: Pick<AboutWhom, "salt" | "identifiers">,
): boolean {
  return identifiers.some((one) => equalBytes(commitToPerson(salt, one), about));
}

const inputOf = (directive: CID, ledger: CID, about: Uint8Array): Uint8Array =>
  encode([directive, ledger, about]);

const SIGN_DIRECTIVE_OPTIONS: OptionsOf<SignDirectiveOptions> = {
  ledger: true,
  person: true,
  salt: true,
};

/**
 * Signs a directive as its grantor, for one ledger and about one person: it counts nowhere else.
 *
 * @returns the signed directive, newly allocated
 * @throws {ConsentError} `ERR_CONSENT_INVALID` when the directive names another grantor, or is not
 *   well formed
 * @throws {TypeError} when the salt is not 32 bytes
 * @example
 *   const salt = crypto.getRandomValues(new Uint8Array(32));
 *   const signed = await signDirective(directive, signer, { ledger: hl.id, person, salt });
 *   await hl.consent(patient, directive, { signed, salt });
 */
export async function signDirective(
  directive: Directive,
  signer: Signer,
  options: SignDirectiveOptions,
): Promise<Uint8Array> {
  assertOptions(options, SIGN_DIRECTIVE_OPTIONS, "signDirective");
  const { ledger, person, salt } = options;
  assertBytes(salt, "salt", 32);
  if (directive.grantor.actor !== signer.actor) {
    throw new ConsentError("ERR_CONSENT_INVALID", "the directive names another grantor");
  }
  const bytes = encodeDirective(directive);
  const about = commitToPerson(salt, person);
  const input = inputOf(directiveCid(directive), ledger, about);
  const sig = await signWith(signer, "directive", input);
  return encode({ directive: bytes, ledger, about, key: signer.key, alg: signer.alg, sig });
}

/**
 * Reads a signed directive, without judging its signature.
 *
 * @throws {EncodingError} or {ConsentError} when the bytes are not a signed directive
 */
export function decodeSignedDirective(bytes: Uint8Array): SignedDirective {
  return readSignedDirective(decode(bytes));
}

/** Reads a signed directive from its decoded form; throws as {@link decodeSignedDirective} does. */
export function readSignedDirective(value: unknown): SignedDirective {
  const names = ["directive", "ledger", "about", "key", "alg", "sig"];
  const map = expectMap(value, "signed directive", names);
  return {
    directive: expectBytes(map["directive"], "signed directive.directive"),
    ledger: expectCid(map["ledger"], "signed directive.ledger"),
    about: expectBytes(map["about"], "signed directive.about", 32),
    key: expectBytes(map["key"], "signed directive.key", 32),
    ...readSignature(map, "signed directive"),
  };
}

/** Reads algorithm and signature. */
export function readSignature(
  map: Fields,
  what: string,
): { readonly alg: SignatureAlg; readonly sig: Uint8Array } {
  return {
    alg: expectOneOf(map["alg"], `${what}.alg`, SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], `${what}.sig`, 64),
  };
}

/** Why a signed directive does not count that would count once its grantor's key is attested. */
export const NOT_ATTESTED: readonly string[] = [
  "the grantor's key is not attested",
  "the grantor's key is not attested in this capacity",
];

/** Whether a signed directive counts for a person, judged by the keys attested at an instant. */
export function standingOfSigned(
  { signed, directive, cid }: SignedForm,
  whom: AboutWhom & { readonly keys: readonly FiledKey[] },
  at: number,
): Standing {
  const { actor, capacity } = directive.grantor;
  if (!signed.ledger.equals(whom.ledger)) return { void: "it was signed for another ledger" };
  if (!isAbout(signed.about, whom)) return { void: "it was signed about another person" };
  const attested = newestOf(whom.keys).filter(
    (one) => one.actor === actor && one.alg === signed.alg && idOf(one) === toHex(signed.key),
  );
  if (attested.length === 0) return { void: NOT_ATTESTED[0]! };
  const inCapacity = attested.filter((one) => one.capacity === capacity);
  if (inCapacity[0]?.publicKey === undefined) {
    return { void: NOT_ATTESTED[1]! };
  }
  // Attested about several persons who are joined, it is valid where one attestation says so.
  const key = inCapacity.find(({ from = -Infinity, to = Infinity }) => from <= at && at <= to);
  if (key?.publicKey === undefined) return { void: "the grantor's key was not valid then" };
  const good = verifySignature({
    alg: signed.alg,
    publicKey: key.publicKey,
    signature: signed.sig,
    what: "directive",
    bytes: inputOf(cid, signed.ledger, signed.about),
  });
  return good ? "valid" : { void: "the signature does not hold" };
}

/** A signed directive, and the directive in it. */
export interface SignedForm {
  readonly signed: SignedDirective;
  readonly directive: Directive;
  readonly cid: CID;
}
