import { sha256 } from "#crypto";
import { isInForce, keyStateKey, memberKey, POLICY_KEY } from "../../chain/state.ts";
import { sealCoseFresh, type CoseRecipient } from "../../crypto/cose-hpke.ts";
import { verifySignature } from "../../crypto/sign.ts";
import { LedgerError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import {
  decodeRequest,
  decodeSealedRequest,
  decodeSignedRequest,
  requestAad,
  type DisclosureRequest,
  type SealedRequest,
  type SignedRequest,
} from "./request.ts";

/** Why a request is refused without being judged. */
export type RequestRefusal =
  | "malformed"
  | "other-ledger"
  | "other-custodian"
  | "unknown-requester"
  | "bad-signature"
  | "recipient-key"
  | "stale"
  | "replayed";

/** All of them. */
export const REQUEST_REFUSALS: readonly RequestRefusal[] = [
  "malformed",
  "other-ledger",
  "other-custodian",
  "unknown-requester",
  "bad-signature",
  "recipient-key",
  "stale",
  "replayed",
];

/** The dependencies for checking a request. */
export interface CheckContext extends LedgerContext {
  /** Longest time for which a request may be valid, in ms. */
  readonly maxRequestLifetime: number;
}

/** A request that may be judged, or the reason for its refusal. */
export type CheckedRequest =
  | {
      readonly ok: true;
      readonly request: DisclosureRequest;
      readonly signed: SignedRequest;
      readonly sealed: SealedRequest;
      /** SHA-256 of the signed request. */
      readonly asked: Uint8Array;
      readonly replayName: Uint8Array;
    }
  | { readonly ok: false; readonly reason: RequestRefusal };

/** A request that may be judged. */
export type RequestToJudge = CheckedRequest & { readonly ok: true };

/** Verifies the requester and that the request is fresh and for this custodian, and opens its sealed part. */
export async function checkRequest(
  context: CheckContext,
  bytes: Uint8Array,
): Promise<CheckedRequest> {
  const { chain, keys, signer, now, vault } = context;
  const refuse = (reason: RequestRefusal): CheckedRequest => ({ ok: false, reason });
  try {
    const signed = decodeSignedRequest(bytes);
    const request = decodeRequest(signed.request);
    if (!request.ledger.equals(chain.ledger)) return refuse("other-ledger");
    if (request.custodian !== signer.actor) return refuse("other-custodian");
    await chain.refresh();
    const key = await signingKeyOf(context, signed, request);
    if (key === undefined) return refuse("unknown-requester");
    const good = verifySignature({
      alg: signed.alg,
      publicKey: key,
      signature: signed.sig,
      what: "request",
      bytes: signed.request,
    });
    if (!good) return refuse("bad-signature");
    const time = now();
    await chain.state.load([POLICY_KEY]);
    const { maxDrift } = chain.state.policy();
    if (
      request.time > time + maxDrift ||
      request.expires <= time ||
      request.expires - request.time > context.maxRequestLifetime
    ) {
      return refuse("stale");
    }
    if ((await recipientOf(context, request)) === undefined) return refuse("recipient-key");
    const sealed = await openSealed(keys, request);
    if (sealed === undefined) return refuse("malformed");
    return {
      ok: true,
      request,
      signed,
      sealed,
      asked: sha256(bytes),
      replayName: vault.name("request", request.requester, request.id),
    };
  } catch (error) {
    if (error instanceof LedgerError && error.code.startsWith("ERR_ENCODING_")) {
      return refuse("malformed");
    }
    throw error;
  }
}

/** The key that a request is signed with, if it may sign for the requester at the present height. */
async function signingKeyOf(
  { chain: { state, size } }: LedgerContext,
  signed: SignedRequest,
  { requester }: DisclosureRequest,
): Promise<Uint8Array | undefined> {
  await state.load([memberKey(requester), keyStateKey(signed.key)]);
  const member = state.member(requester);
  const key = state.key(signed.key);
  if (member === undefined || member.until !== null || key === undefined) return undefined;
  const speaks =
    key.actor === requester && key.use === "sign" && key.alg === signed.alg && isInForce(key, size);
  return speaks ? key.publicKey : undefined;
}

/** The requester's agreement key that answers are sealed to, if it is in force at the present height. */
async function recipientOf(
  { chain: { state, size }, random }: LedgerContext,
  { requester, recipient }: DisclosureRequest,
): Promise<CoseRecipient | undefined> {
  await state.load([keyStateKey(recipient)]);
  const key = state.key(recipient);
  if (key?.actor !== requester || key.use !== "agree" || !isInForce(key, size)) return undefined;
  const found = { alg: key.alg as CoseRecipient["alg"], publicKey: key.publicKey };
  return canSealTo(found, random) ? found : undefined;
}

/** Whether a grant can be made to a key: members may announce unsupported kinds of keys or invalid points. */
function canSealTo(recipient: CoseRecipient, random: LedgerContext["random"]): boolean {
  try {
    const none = new Uint8Array(0);
    sealCoseFresh(recipient, none, none, random);
    return true;
  } catch (error) {
    if (error instanceof LedgerError) return false;
    throw error;
  }
}

/** Checks again, when keys are released, that the requester is still in force and the request still valid. */
export async function recheckRequester(
  context: CheckContext,
  checked: RequestToJudge,
): Promise<CoseRecipient | undefined> {
  if (context.now() >= checked.request.expires) return undefined;
  return recipientInForce(context, checked);
}

/** The key to which answers are sealed, as long as the requester and both keys of the request are in force. */
export async function recipientInForce(
  context: LedgerContext,
  { signed, request }: RequestToJudge,
): Promise<CoseRecipient | undefined> {
  const key = await signingKeyOf(context, signed, request);
  return key && (await recipientOf(context, request));
}

/** Opens the part that is sealed to the custodian, with whichever of its keys it was sealed to. */
async function openSealed(
  keys: LedgerContext["keys"],
  request: DisclosureRequest,
): Promise<SealedRequest | undefined> {
  const aad = requestAad(request.ledger, request.id, request.custodian);
  for (const { key, use } of keys.list()) {
    if (use !== "agree") continue;
    try {
      return decodeSealedRequest(await keys.agreement(key).unwrap(request.sealed, aad));
    } catch (error) {
      if (!(error instanceof LedgerError)) throw error;
    }
  }
  return undefined;
}
