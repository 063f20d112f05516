import type { CID } from "multiformats/cid";
import { isInForce, keyStateKey, memberKey } from "../../chain/state.ts";
import { decode, encode } from "../../codec/dag-cbor.ts";
import {
  expectBytes,
  expectCid,
  expectMap,
  expectNoNuls,
  expectOneOf,
  expectString,
  expectUint,
  expectVersion,
} from "../../codec/shape.ts";
import { holdsAt } from "../../consent/rules/request-view.ts";
import { isCapacityRole } from "../../consent/own-access.ts";
import type { SnapshotMembership, RoleAttestation } from "../../consent/model/snapshot.ts";
import { verifySignature } from "../../crypto/sign.ts";
import { SIGNATURE_ALGS } from "../../crypto/signing-input.ts";
import { EncodingError, LedgerError } from "../../errors.ts";
import { signWith, type Signer } from "../../identity/signer.ts";
import type { LedgerContext } from "../context.ts";

/** A role or a membership of somebody who makes requests for an organisation. */
export type AttestedFact = {
  readonly ledger: CID;
  /** did:key of the organisation in whose requests the fact counts. */
  readonly requester: string;
  /** The person there, as its requests name them; absent: the organisation itself, and so everyone in it. */
  readonly user?: string;
  /** First and last instant at which the fact counts, in ms since 1970. */
  readonly from: number;
  readonly to: number;
} & (
  | { readonly role: string; readonly memberOf?: never }
  | {
      /** Name of the organisation, care team or group, as directives write it. */
      readonly memberOf: string;
      readonly role?: never;
    }
);

/** A member's statement of an {@link AttestedFact}. */
export type Attestation = AttestedFact & {
  readonly v: 1;
  /** did:key of the member that attests. */
  readonly by: string;
};

/** Maximum number of attestations in one request. */
export const MAX_ATTESTATIONS = 16;
const MAX_NAME = 512;

/**
 * Attests, as a member, a role or a membership of somebody who makes requests for an organisation. Give the
 * result to that organisation, which sends it with its requests.
 *
 * @returns the signed attestation
 * @throws {EncodingError} `ERR_ENCODING_SHAPE` when it has both a role and a membership or neither, ends
 *   before it begins, or has text with U+0000
 * @example
 * const attestation = await signAttestation(
 *   {
 *     ledger: hl.id,
 *     requester: clinic.signer().actor,
 *     memberOf: "Organization/cardiology",
 *     from: Date.now(),
 *     to: Date.now() + 86_400_000,
 *   },
 *   hospital.signer(),
 * );
 */
export async function signAttestation(what: AttestedFact, signer: Signer): Promise<Uint8Array> {
  const attestation = encode({ v: 1, by: signer.actor, ...what });
  decodeAttestation(attestation);
  const sig = await signWith(signer, "attestation", attestation);
  return encode({ attestation, key: signer.key, alg: signer.alg, sig });
}

/**
 * Reads an attestation.
 *
 * @throws {EncodingError} when the bytes are not an attestation
 */
export function decodeAttestation(bytes: Uint8Array): Attestation {
  const map = expectMap(
    decode(bytes, { maxBytes: 8192, maxDepth: 2, maxItems: 32 }),
    "attestation",
    ["v", "ledger", "by", "requester", "from", "to"],
    ["user", "role", "memberOf"],
  );
  expectNoNuls(map, "attestation");
  const name = (field: string): string => {
    const text = expectString(map[field], `attestation.${field}`, MAX_NAME);
    if (text === "") throw shape(`attestation.${field} must not be empty`);
    return text;
  };
  const said = {
    v: expectVersion(map["v"], "attestation"),
    ledger: expectCid(map["ledger"], "attestation.ledger"),
    by: name("by"),
    requester: name("requester"),
    ...(map["user"] === undefined ? {} : { user: name("user") }),
    from: expectUint(map["from"], "attestation.from"),
    to: expectUint(map["to"], "attestation.to"),
  };
  if (said.to < said.from) throw shape("an attestation must not end before it begins");
  if ((map["role"] === undefined) === (map["memberOf"] === undefined)) {
    throw shape("an attestation must have either a role or a membership");
  }
  return map["role"] === undefined
    ? { ...said, memberOf: name("memberOf") }
    : { ...said, role: name("role") };
}

const shape = (text: string): EncodingError => new EncodingError("ERR_ENCODING_SHAPE", text);

/** The facts about a requester that a decision accepts. */
export interface Attested {
  /** The signed attestations that the facts come from, as received. */
  readonly signed: readonly Uint8Array[];
  readonly roles: readonly RoleAttestation[];
  readonly memberships: readonly SnapshotMembership[];
}

/**
 * Judges the attestations that came with a request, at a height of the ledger. It leaves out those that are
 * for another ledger, about somebody else, outside their time, by an author who is not a member in force or
 * by a key that is not in force, with an invalid signature, or about something that their author has no say
 * in. Only the organisation that a group is named after, or the custodian that is asked, may attest
 * membership in it: otherwise any member could put its own people into a patient's care team.
 *
 * @param asOf - in ms since 1970
 * @param height - the last block that counts; default the newest
 */
export async function judgeAttestations(
  context: LedgerContext,
  request: { readonly requester: string; readonly user?: string },
  presented: readonly Uint8Array[],
  asOf: number,
  height: number = context.chain.size - 1,
): Promise<Attested> {
  const custodian = context.signer.actor;
  const signed: Uint8Array[] = [];
  const roles: RoleAttestation[] = [];
  const memberships: SnapshotMembership[] = [];
  for (const bytes of presented) {
    const one = await verifiedAttestation(context, bytes, height);
    if (one === undefined || one.requester !== request.requester || !holdsAt(one, asOf)) continue;
    if (one.user !== undefined && one.user !== request.user) continue;
    // It would speak for whomever a request is about.
    if (one.role !== undefined && isCapacityRole(one.role)) continue;
    const { by, from, to } = one;
    const who = one.user ?? one.requester;
    if (one.role !== undefined) {
      roles.push({ actor: who, code: one.role, attestedBy: by, from, to });
    } else {
      const of = one.memberOf;
      if (by !== custodian && of !== by && !of.startsWith(`${by}#`)) continue;
      memberships.push({ member: who, of, from, to });
    }
    signed.push(bytes);
  }
  return { signed, roles, memberships };
}

/** The attestation, if it is by a member in force with a key in force; `undefined` otherwise. */
async function verifiedAttestation(
  { chain: { ledger, state } }: LedgerContext,
  bytes: Uint8Array,
  height: number,
): Promise<Attestation | undefined> {
  try {
    const map = expectMap(
      decode(bytes, { maxBytes: 16_384, maxDepth: 2, maxItems: 32 }),
      "signed attestation",
      ["attestation", "key", "alg", "sig"],
    );
    const id = expectBytes(map["key"], "signed attestation.key", 32);
    const alg = expectOneOf(map["alg"], "signed attestation.alg", SIGNATURE_ALGS);
    const said = expectBytes(map["attestation"], "signed attestation.attestation");
    const attestation = decodeAttestation(said);
    const { by } = attestation;
    if (!attestation.ledger.equals(ledger)) return undefined;
    await state.load([memberKey(by), keyStateKey(id)]);
    const key = state.key(id);
    const member = state.member(by);
    // The height of the next block: members and keys must be in force there.
    const next = height + 1;
    if (member === undefined || key === undefined || !isInForce(member, next)) return undefined;
    const speaks = key.actor === by && key.use === "sign" && key.alg === alg;
    if (!speaks || !isInForce(key, next)) return undefined;
    const good = verifySignature({
      alg,
      publicKey: key.publicKey,
      signature: expectBytes(map["sig"], "signed attestation.sig", 64),
      what: "attestation",
      bytes: said,
    });
    return good ? attestation : undefined;
  } catch (error) {
    if (error instanceof LedgerError && error.code.startsWith("ERR_ENCODING_")) return undefined;
    throw error;
  }
}
