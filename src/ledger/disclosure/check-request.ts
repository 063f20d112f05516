import { sha256 } from "#crypto";
import { isInForce, keyStateKey, memberKey, POLICY_KEY } from "../../chain/state.ts";
import { sealCoseFresh, type CoseRecipient } from "../../crypto/cose-hpke.ts";
import { verifySignature } from "../../crypto/sign.ts";
import { LedgerError } from "../../errors.ts";
import type { LedgerContext } from "../context.ts";
import { decodeMessage, decodeSignedMessage, type Message } from "./message.ts";
import { findActingPerson, type ActingPerson, type PersonContext } from "./person-sender.ts";
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
export interface CheckContext extends PersonContext {
  /** Longest time for which a request may be valid, in ms. */
  readonly maxRequestLifetime: number;
}

/** A request that may be judged, or the reason for its refusal. */
export type CheckedRequest =
  | {
      readonly ok: true;
      /** Whether a person signed it, by keys that this custodian attested, and not a member. */
      readonly byPerson: boolean;
      readonly request: DisclosureRequest;
      readonly signed: SignedRequest;
      readonly sealed: SealedRequest;
      /** SHA-256 of the signed request. */
      readonly asked: Uint8Array;
      readonly replayName: Uint8Array;
    }
  | Refused;

/** A request that may be judged. */
export type RequestToJudge = CheckedRequest & { readonly ok: true };

/** A message that may be answered, or the reason for its refusal. */
export type CheckedMessage =
  | {
      readonly ok: true;
      readonly message: Message;
      /** How the person may act who sent it; absent if a member did. */
      readonly person?: ActingPerson;
      /** SHA-256 of the signed message. */
      readonly asked: Uint8Array;
      /** The key to which replies are sealed, as long as its sender and both its keys are in force. */
      readonly recipient: () => Promise<CoseRecipient | undefined>;
    }
  | Refused;

/** A message that may be answered. */
export type MessageToAnswer = CheckedMessage & { readonly ok: true };

interface Refused {
  readonly ok: false;
  readonly reason: RequestRefusal;
}

/** Bytes and who claims to have signed them. */
interface SignedBytes extends Pick<SignedRequest, "key" | "alg" | "sig"> {
  readonly what: "request" | "message";
  readonly bytes: Uint8Array;
}

/** Verifies the requester and that the request is fresh and for this custodian, and opens its sealed part. */
export async function checkRequest(
  context: CheckContext,
  bytes: Uint8Array,
): Promise<CheckedRequest> {
  return orMalformed(async () => {
    const signed = decodeSignedRequest(bytes);
    const request = decodeRequest(signed.request);
    const reason = await whyRefused(context, senderOf(request), {
      ...{ ...signed, what: "request", bytes: signed.request },
    });
    if (reason !== undefined) return refuse(reason);
    const sealed = await openSealed(context.keys, request);
    if (sealed === undefined) return refuse("malformed");
    return {
      ...{ ok: true, byPerson: false, request, signed, sealed },
      asked: sha256(bytes),
      replayName: context.vault.name("request", request.requester, request.id),
    };
  });
}

/** Checks a message as {@link checkRequest} does a request. */
export async function checkMessage(
  context: CheckContext,
  bytes: Uint8Array,
): Promise<CheckedMessage> {
  return orMalformed(async () => {
    const signed = decodeSignedMessage(bytes);
    const message = decodeMessage(signed.message);
    const signature = { ...signed, what: "message", bytes: signed.message } as const;
    const reason = await whyRefused(context, message, signature);
    if (reason !== undefined) return refuse(reason);
    return {
      ...{ ok: true, message, asked: sha256(bytes) },
      recipient: () => recipientOfSender(context, signed, message),
    };
  });
}

export const refuse = (reason: RequestRefusal): Refused => ({ ok: false, reason });

/** Checks something that may not even be well formed. */
export async function orMalformed<T>(check: () => Promise<T>): Promise<T | Refused> {
  try {
    return await check();
  } catch (error) {
    if (error instanceof LedgerError && error.code.startsWith("ERR_ENCODING_")) {
      return refuse("malformed");
    }
    throw error;
  }
}

/** Who sends something to whom, and for how long it counts. */
type Sender = Pick<Message, "ledger" | "from" | "to" | "recipient" | "time" | "expires">;

const senderOf = ({ requester, custodian, ...request }: DisclosureRequest): Sender => ({
  ...{ ...request, from: requester, to: custodian },
});

/** Why something that a member sent is refused, if it is. */
async function whyRefused(
  context: CheckContext,
  sender: Sender,
  { key, alg, sig, what, bytes }: SignedBytes,
): Promise<RequestRefusal | undefined> {
  const { chain, signer } = context;
  if (!sender.ledger.equals(chain.ledger)) return "other-ledger";
  if (sender.to !== signer.actor) return "other-custodian";
  await chain.refresh();
  const publicKey = await signingKeyOf(context, { key, alg }, sender.from);
  if (publicKey === undefined) return "unknown-requester";
  if (!verifySignature({ alg, publicKey, signature: sig, what, bytes })) return "bad-signature";
  if (!(await isFresh(context, sender))) return "stale";
  return (await recipientOf(context, sender)) === undefined ? "recipient-key" : undefined;
}

/** Whether something counts at this moment, and for no longer than this custodian allows. */
export async function isFresh(
  { chain: { state }, now, maxRequestLifetime }: CheckContext,
  { time, expires }: Pick<Sender, "time" | "expires">,
): Promise<boolean> {
  const at = now();
  await state.load([POLICY_KEY]);
  const { maxDrift } = state.policy();
  return time <= at + maxDrift && expires > at && expires - time <= maxRequestLifetime;
}

/** The key that something is signed with, if it may sign for its sender at the present height. */
async function signingKeyOf(
  { chain: { state, size } }: LedgerContext,
  signed: Pick<SignedRequest, "key" | "alg">,
  from: string,
): Promise<Uint8Array | undefined> {
  await state.load([memberKey(from), keyStateKey(signed.key)]);
  const member = state.member(from);
  const key = state.key(signed.key);
  if (member === undefined || member.until !== null || key === undefined) return undefined;
  const speaks =
    key.actor === from && key.use === "sign" && key.alg === signed.alg && isInForce(key, size);
  return speaks ? key.publicKey : undefined;
}

/** The sender's agreement key that answers are sealed to, if it is in force at the present height. */
async function recipientOf(
  { chain: { state, size }, random }: LedgerContext,
  { from, recipient }: Pick<Sender, "from" | "recipient">,
): Promise<CoseRecipient | undefined> {
  await state.load([keyStateKey(recipient)]);
  const key = state.key(recipient);
  if (key?.actor !== from || key.use !== "agree" || !isInForce(key, size)) return undefined;
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
  context: PersonContext,
  { byPerson, signed, request, sealed }: RequestToJudge,
): Promise<CoseRecipient | undefined> {
  if (byPerson) {
    const { requester, recipient } = request;
    const sender = { from: requester, key: signed.key, recipient };
    return (await findActingPerson(context, sender, sealed.patient))?.recipient;
  }
  return recipientOfSender(context, signed, senderOf(request));
}

async function recipientOfSender(
  context: LedgerContext,
  signed: Pick<SignedRequest, "key" | "alg">,
  sender: Sender,
): Promise<CoseRecipient | undefined> {
  const key = await signingKeyOf(context, signed, sender.from);
  return key && (await recipientOf(context, sender));
}

/** Opens the part that is sealed to the custodian, with whichever of its keys it was sealed to. */
export async function openSealed(
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
