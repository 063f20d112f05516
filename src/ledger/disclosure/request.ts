import { assertOptions, type OptionsOf } from "../../bytes/options.ts";
import type { CID } from "multiformats/cid";
import { randomBytes } from "#crypto";
import type { Chain } from "../../chain/chain.ts";
import { isInForce, keyStateKey, memberKey, type KeyState } from "../../chain/state.ts";
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
  hasNuls,
  type Fields,
} from "../../codec/shape.ts";
import type { Coding } from "../../consent/model/model.ts";
import { isDateValue, type DateValue, type Period } from "../../consent/model/time.ts";
import type { ClaimedRole, RequestQuery } from "../../consent/model/request.ts";
import { sealCoseFresh, type CoseRecipient } from "../../crypto/cose-hpke.ts";
import { SIGNATURE_ALGS, type SignatureAlg } from "../../crypto/signing-input.ts";
import { assertKnownRequest } from "../../consent/terminology/known-codes.ts";
import { defaultTerminology, type Terminology } from "../../consent/terminology/terminology.ts";
import { ConsentError, EncodingError } from "../../errors.ts";
import type { KeyAgreement } from "../../identity/agreement.ts";
import { signWith, type Signer } from "../../identity/signer.ts";
import { MAX_ATTESTATIONS } from "./attestation.ts";
import type { PersonIdentifier } from "../entries/subjects.ts";

/** A privileged requester's declaration that they need the data at once and will answer for it. */
export interface Declaration {
  /** The reason, in the requester's words. */
  readonly reason: string;
  /** When the access ends, in ms since 1970. */
  readonly until: number;
}

/** A request in the form in which it is sent to a custodian. */
export interface DisclosureRequest {
  readonly v: 1;
  readonly ledger: CID;
  /** 16 random bytes; a custodian answers each id once. */
  readonly id: Uint8Array;
  /** did:key of the organisation that asks. */
  readonly requester: string;
  /** did:key of the custodian that is asked. */
  readonly custodian: string;
  /** Id of the requester's agreement key that grants are to be sealed to. */
  readonly recipient: Uint8Array;
  /** The patient and the declaration, sealed to the custodian. */
  readonly sealed: Uint8Array;
  /** The person who asks on the requester's behalf. */
  readonly user?: string;
  readonly roles: readonly ClaimedRole[];
  readonly purposes: readonly string[];
  readonly action: string;
  readonly query: RequestQuery;
  /** When it was made and until when it counts, in ms since 1970. */
  readonly time: number;
  readonly expires: number;
}

/** A request with its requester's signature. */
export interface SignedRequest {
  readonly request: Uint8Array;
  readonly key: Uint8Array;
  readonly alg: SignatureAlg;
  readonly sig: Uint8Array;
}

/** The part of a request that only the custodian may read. */
export interface SealedRequest {
  readonly patient: PersonIdentifier;
  readonly declaration?: Declaration;
  /** Signed attestations about the requester; see `signAttestation`. */
  readonly attestations?: readonly Uint8Array[];
}

/** The content of a request. */
export interface RequestOptions {
  readonly patient: PersonIdentifier;
  readonly purposes: readonly string[];
  /** The intended action on the data. Default `access`. */
  readonly action?: string;
  readonly query?: RequestQuery;
  readonly user?: string;
  /** Roles of the user that the requester vouches for by signing the request. */
  readonly roles?: readonly ClaimedRole[];
  /** Other members' attestations about the user or the requester, at most 16; see `signAttestation`. */
  readonly attestations?: readonly Uint8Array[];
  readonly declaration?: Declaration;
}

/** The source of the custodian's agreement key, which the patient's identifier is sealed to. */
export type RequestTarget =
  | {
      /** A copy of the ledger, which gives the custodian's newest agreement key in force. */
      readonly chain: Pick<Chain, "ledger" | "size" | "state">;
      /** Default: the key from {@link chain}. */
      readonly custodianKey?: CoseRecipient;
    }
  | {
      readonly ledger: CID;
      /** An agreement key of the custodian that is in force. */
      readonly custodianKey: CoseRecipient;
    };

/** Options of {@link createRequest}. */
export type CreateRequestOptions = RequestOptions &
  RequestTarget & {
    /** did:key of the member that is asked. */
    readonly custodian: string;
    /** A signing key of the member that asks. */
    readonly signer: Signer;
    /** The agreement key that opens the answer; it must be on the ledger. */
    readonly agreement: Pick<KeyAgreement, "key">;
    /** When the request is made, in ms since 1970. Default: the platform's clock. */
    readonly now?: number;
    /** How long the request is valid, in ms. Default five minutes. */
    readonly lifetime?: number;
    /**
     * Lists the purposes that may be named. Default: the shipped terminology. Whether the custodian knows
     * them too is its own matter.
     */
    readonly terminology?: Terminology;
    /** Gives random bytes of a length. Default: the platform's. */
    readonly random?: (length: number) => Uint8Array;
  };

const CREATE_REQUEST_OPTIONS: OptionsOf<CreateRequestOptions> = {
  ...{ patient: true, purposes: true, action: true, query: true, user: true, roles: true },
  ...{ attestations: true, declaration: true, chain: true, custodianKey: true, custodian: true },
  ...{ signer: true, agreement: true, now: true, lifetime: true, terminology: true },
  ...{ random: true, ledger: true },
};

/**
 * Makes and signs a request, for the custodian's `disclose`.
 *
 * @returns bytes to be sent to the custodian. Only the custodian can read whom the request is about; anybody
 *   on the way can read who asks and for what purpose
 * @throws {ConsentError} `ERR_CONSENT_REQUEST` when the request names no patient or no purposes, has text
 *   with U+0000, or the custodian has no agreement key in force; `ERR_CONSENT_TERMINOLOGY` when it names
 *   an unknown purpose, action or resource type, which nothing would permit or which no record has. One of
 *   your own states its system: `system|code`, for a resource type its canonical URL
 * @example
 * const request = await createRequest({
 *   chain,
 *   custodian, // did:key of the hospital
 *   patient: { system: "urn:oid:1.2.3", value: "MRN-0012345" },
 *   purposes: ["TREAT"],
 *   signer: clinic.signer(),
 *   agreement: clinic.agreement(),
 * });
 */
export async function createRequest(options: CreateRequestOptions): Promise<Uint8Array> {
  assertOptions(options, CREATE_REQUEST_OPTIONS, "createRequest");
  const { custodian, signer, patient, declaration, attestations } = options;
  const { now = Date.now(), random = randomBytes } = options;
  if (typeof patient?.system !== "string" || typeof patient.value !== "string") {
    throw new ConsentError(
      "ERR_CONSENT_REQUEST",
      "a request must name a patient by system and value",
    );
  }
  if (!Array.isArray(options.purposes)) {
    throw new ConsentError("ERR_CONSENT_REQUEST", "a request must name its purposes");
  }
  if ((attestations?.length ?? 0) > MAX_ATTESTATIONS) {
    throw new ConsentError("ERR_CONSENT_REQUEST", "a request may have at most 16 attestations");
  }
  const { ledger, key: custodianKey } = await targetOf(options, custodian);
  const id = random(16);
  const inner: SealedRequest = {
    patient: { system: patient.system, value: patient.value },
    ...(declaration === undefined ? {} : { declaration }),
    ...(attestations === undefined || attestations.length === 0 ? {} : { attestations }),
  };
  const request: DisclosureRequest = {
    v: 1,
    ledger,
    id,
    requester: signer.actor,
    custodian,
    recipient: options.agreement.key,
    sealed: sealCoseFresh(custodianKey, encode(inner), requestAad(ledger, id, custodian), random),
    ...(options.user === undefined ? {} : { user: options.user }),
    roles: options.roles ?? [],
    purposes: options.purposes,
    action: options.action ?? "access",
    query: options.query ?? {},
    time: now,
    expires: now + (options.lifetime ?? 300_000),
  };
  const bytes = encode(request);
  // Encoding has succeeded, so no value contains itself.
  if (hasNuls(inner) || hasNuls(request)) {
    throw new ConsentError("ERR_CONSENT_REQUEST", "a request must not have text with U+0000");
  }
  const { purposes, action, query } = request;
  const { terminology = defaultTerminology() } = options;
  assertKnownRequest({ purposes, action, types: query.types ?? [] }, terminology);
  const sig = await signWith(signer, "request", bytes);
  return encode({ request: bytes, key: signer.key, alg: signer.alg, sig });
}

/** The ledger of the request, and the custodian's key. */
async function targetOf(
  target: RequestTarget,
  custodian: string,
): Promise<{ readonly ledger: CID; readonly key: CoseRecipient }> {
  if (!("chain" in target)) return { ledger: target.ledger, key: target.custodianKey };
  const { chain, custodianKey } = target;
  return {
    ledger: chain.ledger,
    key: custodianKey ?? (await agreementKeyOf(chain, custodian)),
  };
}

/**
 * A member's newest agreement key that is in force.
 *
 * @throws {ConsentError} `ERR_CONSENT_REQUEST` when it has none
 */
export async function agreementKeyOf(
  { state, size }: Pick<Chain, "size" | "state">,
  actor: string,
): Promise<CoseRecipient> {
  await state.load([memberKey(actor)]);
  const ids = state.member(actor)?.keys ?? [];
  await state.load(ids.map(keyStateKey));
  let newest: KeyState | undefined;
  for (const id of ids) {
    const key = state.key(id);
    if (key?.use !== "agree" || !isInForce(key, size)) continue;
    if (newest === undefined || key.from >= newest.from) newest = key;
  }
  if (newest === undefined) {
    throw new ConsentError("ERR_CONSENT_REQUEST", "the custodian has no agreement key in force");
  }
  return { alg: newest.alg as CoseRecipient["alg"], publicKey: newest.publicKey };
}

/** The additional data that the sealed part of a request is bound to. */
export function requestAad(ledger: CID, id: Uint8Array, custodian: string): Uint8Array {
  return encode(["healthledger/request/1", ledger, id, custodian]);
}

/**
 * Reads a signed request, without judging its signature.
 *
 * @throws {EncodingError} when the bytes are not a signed request
 */
export function decodeSignedRequest(bytes: Uint8Array): SignedRequest {
  const map = expectMap(
    decode(bytes, { maxBytes: 256 * 1024, maxDepth: 2, maxItems: 16 }),
    "signed request",
    ["request", "key", "alg", "sig"],
  );
  return {
    request: expectBytes(map["request"], "signed request.request"),
    key: expectBytes(map["key"], "signed request.key", 32),
    alg: expectOneOf(map["alg"], "signed request.alg", SIGNATURE_ALGS),
    sig: expectBytes(map["sig"], "signed request.sig", 64),
  };
}

/**
 * Reads a request.
 *
 * @throws {EncodingError} when the bytes are not a request
 */
export function decodeRequest(bytes: Uint8Array): DisclosureRequest {
  const map = expectMap(
    decode(bytes, { maxDepth: 6, maxItems: 20_000 }),
    "request",
    [
      ...["v", "ledger", "id", "requester", "custodian", "recipient", "sealed"],
      ...["roles", "purposes", "action", "query", "time", "expires"],
    ],
    ["user"],
  );
  // The request goes into an access entry, where such text counts as damage.
  expectNoNuls(map, "request");
  return {
    v: expectVersion(map["v"], "request"),
    ledger: expectCid(map["ledger"], "request.ledger"),
    id: expectBytes(map["id"], "request.id", 16),
    requester: expectString(map["requester"], "request.requester", 128),
    custodian: expectString(map["custodian"], "request.custodian", 128),
    recipient: expectBytes(map["recipient"], "request.recipient", 32),
    sealed: expectBytes(map["sealed"], "request.sealed"),
    ...(map["user"] === undefined ? {} : { user: expectString(map["user"], "request.user") }),
    roles: expectArray(map["roles"], "request.roles", 64).map((role) => {
      const fields = expectMap(role, "request.roles", ["code", "attestedBy"]);
      return {
        code: expectString(fields["code"], "role.code"),
        attestedBy: expectString(fields["attestedBy"], "role.attestedBy"),
      };
    }),
    purposes: expectStrings(map["purposes"], "request.purposes"),
    action: expectString(map["action"], "request.action"),
    query: expectQuery(map["query"]),
    time: expectUint(map["time"], "request.time"),
    expires: expectUint(map["expires"], "request.expires"),
  };
}

/**
 * Reads the part of a request that only the custodian may read.
 *
 * @throws {EncodingError} when the bytes are not such a part
 */
export function decodeSealedRequest(bytes: Uint8Array): SealedRequest {
  const map = expectMap(decode(bytes), "request", ["patient"], ["declaration", "attestations"]);
  expectNoNuls(map, "request");
  const declared = map["declaration"];
  const attested = map["attestations"];
  return {
    patient: expectPerson(map["patient"], "request.patient"),
    ...(declared === undefined ? {} : { declaration: expectDeclaration(declared) }),
    ...(attested === undefined
      ? {}
      : {
          attestations: expectArray(attested, "request.attestations", MAX_ATTESTATIONS).map((one) =>
            expectBytes(one, "request.attestations"),
          ),
        }),
  };
}

/** Checks an identifier of a person. */
export function expectPerson(value: unknown, what: string): PersonIdentifier {
  const map = expectMap(value, what, ["system", "value"]);
  return {
    system: expectName(map["system"], `${what}.system`),
    value: expectName(map["value"], `${what}.value`),
  };
}

function expectName(value: unknown, what: string): string {
  const name = expectString(value, what);
  if (name === "") throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must not be empty`);
  return name;
}

/** Checks a declaration that breaks the glass. */
export function expectDeclaration(value: unknown): Declaration {
  const map = expectMap(value, "declaration", ["reason", "until"]);
  return {
    reason: expectString(map["reason"], "declaration.reason", 4096),
    until: expectUint(map["until"], "declaration.until"),
  };
}

function expectQuery(value: unknown): RequestQuery {
  const map = expectMap(value, "query", [], ["ids", "types", "codes", "period", "parts"]);
  const strings = (name: string) =>
    map[name] === undefined ? {} : { [name]: expectStrings(map[name], `query.${name}`) };
  return {
    ...strings("ids"),
    ...strings("types"),
    ...strings("parts"),
    ...(map["codes"] === undefined ? {} : { codes: expectCodes(map["codes"]) }),
    ...(map["period"] === undefined ? {} : { period: expectPeriod(map["period"]) }),
  };
}

function expectCodes(value: unknown): readonly Coding[] {
  return expectArray(value, "query.codes", 1024).map((item) => {
    const map = expectMap(item, "query.codes", ["system", "code"]);
    return {
      system: expectString(map["system"], "code.system"),
      code: expectString(map["code"], "code.code"),
    };
  });
}

function expectPeriod(value: unknown): Period {
  const map: Fields = expectMap(value, "query.period", [], ["from", "to"]);
  return {
    ...(map["from"] === undefined ? {} : { from: expectDate(map["from"], "period.from") }),
    ...(map["to"] === undefined ? {} : { to: expectDate(map["to"], "period.to") }),
  };
}

function expectDate(value: unknown, what: string): DateValue {
  if (isDateValue(value)) return value;
  throw new EncodingError("ERR_ENCODING_SHAPE", `${what} must be an instant or a date`);
}

function expectStrings(value: unknown, what: string): readonly string[] {
  return expectArray(value, what, 1024).map((item) => expectString(item, what));
}
