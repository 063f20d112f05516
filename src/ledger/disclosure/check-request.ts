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

/** Why a request is not even judged. */
export const REQUEST_REFUSALS = [
  "malformed",
  "other-ledger",
  "other-custodian",
  "unknown-requester",
  "bad-signature",
  "recipient-key",
  "stale",
  "replayed",
] as const;
export type RequestRefusal = (typeof REQUEST_REFUSALS)[number];

/** What checking a request stands on. */
export interface CheckContext extends LedgerContext {
  /** Longest time that a request may count, in ms. */
  readonly maxRequestLifetime: number;
}

/** A request that may be judged, or why not. */
export type CheckedRequest =
  | {
      readonly ok: true;
      readonly request: DisclosureRequest;
      readonly signed: SignedRequest;
      readonly sealed: SealedRequest;
      readonly replayName: Uint8Array;
    }
  | { readonly ok: false; readonly reason: RequestRefusal };

/** Verifies who asks, that the request is for us and fresh, and whom it is about. */
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
      replayName: vault.name("request", request.requester, request.id),
    };
  } catch (error) {
    if (error instanceof LedgerError && error.code.startsWith("ERR_ENCODING_")) {
      return refuse("malformed");
    }
    throw error;
  }
}

/** The key that a request is signed with, if it speaks for the requester at the present height. */
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

/** The requester's agreement key that answers go to, if it is in force at the present height. */
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

/** Members may announce keys of kinds that grants cannot be made to, and points that are none. */
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

/** Whether the requester is still one, and the request still counts, when keys are handed out. */
export async function standing(
  context: CheckContext,
  { signed, request }: CheckedRequest & { readonly ok: true },
): Promise<({ readonly ok: true } & CoseRecipient) | { readonly ok: false }> {
  const key = await signingKeyOf(context, signed, request);
  const recipient = await recipientOf(context, request);
  if (key === undefined || recipient === undefined || context.now() >= request.expires) {
    return { ok: false };
  }
  return { ok: true, ...recipient };
}

/** Opens what is sealed to the custodian, with whichever of its keys it was sealed to. */
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
