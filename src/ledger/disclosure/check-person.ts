import { sha256 } from "#crypto";
import { verifySignature } from "../../crypto/sign.ts";
import {
  checkRequest,
  isFresh,
  openSealed,
  orMalformed,
  refuse,
  type CheckContext,
  type CheckedRequest,
} from "./check-request.ts";
import { findActingPerson } from "./person-sender.ts";
import { decodeRequest, decodeSignedRequest } from "./request.ts";

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
  if (person === undefined || person.alg !== signed.alg) return refuse("unknown-requester");
  const { alg, publicKey } = person;
  const signature = { signature: signed.sig, what: "request", bytes: signed.request } as const;
  if (!verifySignature({ alg, publicKey, ...signature })) return refuse("bad-signature");
  return {
    ...{ ok: true, byPerson: true, request, signed, sealed },
    asked: sha256(bytes),
    replayName: vault.name("request", requester, request.id),
  };
}
