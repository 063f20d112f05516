import { sha256 } from "#crypto";
import { verifySignature } from "../../crypto/sign.ts";
import {
  checkMessage,
  checkRequest,
  isFresh,
  openSealed,
  orMalformed,
  refuse,
  type CheckContext,
  type CheckedMessage,
  type CheckedRequest,
  type RequestRefusal,
} from "./check-request.ts";
import { decodeMessage, decodeSignedMessage } from "./message.ts";
import { findActingPerson, type ActingPerson } from "./person-sender.ts";
import { decodeRequest, decodeSignedRequest, type SignedRequest } from "./request.ts";

/**
 * Checks the request of an ask, which a person may have signed as well as a member: a person's name must not
 * travel in clear, so their requests come in no other way.
 */
export async function checkAskedRequest(
  context: CheckContext,
  bytes: Uint8Array,
): Promise<CheckedRequest> {
  const checked = await checkRequest(context, bytes);
  const isStranger = !checked.ok && checked.reason === "unknown-requester";
  return isStranger ? orMalformed(() => checkPersonsRequest(context, bytes)) : checked;
}

/** Checks the message of an ask, which a person may have signed as well as a member. */
export async function checkAskedMessage(
  context: CheckContext,
  bytes: Uint8Array,
): Promise<CheckedMessage> {
  const checked = await checkMessage(context, bytes);
  const isStranger = !checked.ok && checked.reason === "unknown-requester";
  return isStranger ? orMalformed(() => checkPersonsMessage(context, bytes)) : checked;
}

/** Checks a message for this custodian that no member signed. */
async function checkPersonsMessage(
  context: CheckContext,
  bytes: Uint8Array,
): Promise<CheckedMessage> {
  const signed = decodeSignedMessage(bytes);
  const message = decodeMessage(signed.message);
  const { from, recipient, about } = message;
  if (about === undefined) return refuse("unknown-requester");
  if (!(await isFresh(context, message))) return refuse("stale");
  const sender = { from, key: signed.key, recipient };
  const person = await findActingPerson(context, sender, about);
  const signature = { what: "message", bytes: signed.message } as const;
  const reason = whyNotSigned(person, signed, signature);
  if (person === undefined || reason !== undefined) return refuse(reason ?? "unknown-requester");
  return {
    ...{ ok: true, message, person, asked: sha256(bytes) },
    recipient: async () => (await findActingPerson(context, sender, about))?.recipient,
  };
}

/** Why a person's signature does not count, if it does not. */
function whyNotSigned(
  person: ActingPerson | undefined,
  { alg, sig: signature }: Pick<SignedRequest, "alg" | "sig">,
  what: { readonly what: "request" | "message"; readonly bytes: Uint8Array },
): RequestRefusal | undefined {
  if (person === undefined || person.alg !== alg) return "unknown-requester";
  const { publicKey } = person;
  return verifySignature({ alg, publicKey, signature, ...what }) ? undefined : "bad-signature";
}

/** Checks a request for this custodian that no member signed. */
async function checkPersonsRequest(
  context: CheckContext,
  bytes: Uint8Array,
): Promise<CheckedRequest> {
  const { keys, vault } = context;
  const signed = decodeSignedRequest(bytes);
  const request = decodeRequest(signed.request);
  const { requester, recipient } = request;
  // A person has no people of their own to vouch for.
  if (request.user !== undefined || request.roles.length > 0) return refuse("unknown-requester");
  if (!(await isFresh(context, request))) return refuse("stale");
  const sealed = await openSealed(keys, request);
  if (sealed === undefined) return refuse("malformed");
  const sender = { from: requester, key: signed.key, recipient };
  const person = await findActingPerson(context, sender, sealed.patient);
  const reason = whyNotSigned(person, signed, { what: "request", bytes: signed.request });
  if (reason !== undefined) return refuse(reason);
  return {
    ...{ ok: true, byPerson: true, request, signed, sealed },
    asked: sha256(bytes),
    replayName: vault.name("request", requester, request.id),
  };
}
