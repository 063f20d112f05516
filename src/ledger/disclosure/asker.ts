import type { ClaimedRole } from "../../consent/model/request.ts";
import type { CapacityScope } from "../../consent/model/model.ts";
import type { RoleAttestation } from "../../consent/model/snapshot.ts";
import { capacityRole, isCapacityRole } from "../../consent/own-access.ts";
import type { FiledConsents } from "../consents/read-consents.ts";
import type { Attested } from "./attestation.ts";
import type { RequestToJudge } from "./check-request.ts";
import { actingPerson } from "./person-sender.ts";

/** Who asks, as a decision sees them. */
export interface Asker {
  /** The person who asks. */
  readonly user: string | undefined;
  /** Roles that the request claims. */
  readonly claimed: readonly ClaimedRole[];
  /** Roles that members attest. */
  readonly roles: readonly RoleAttestation[];
  /** Codes of the roles that count. */
  readonly believed: readonly string[];
  /** Bounds of what they may have, as `chainsOf` gives them. */
  readonly bounds: readonly (readonly CapacityScope[])[];
}

/** Who asks: a member, which vouches for its user, or a person, who can vouch for nobody. */
export function askerOf(
  { request, signed, byPerson }: Pick<RequestToJudge, "request" | "signed" | "byPerson">,
  { keys }: FiledConsents,
  attested: Attested,
  custodian: string,
  asOf: number,
): Asker {
  const { requester, recipient } = request;
  if (!byPerson) {
    // The organisation that signs the request vouches for its own people only: what another party attests
    // counts only by that party's signature, and who may speak for the patient only by the custodian's.
    const claimed = request.roles.map(({ code, attestedBy }) => ({
      code,
      attestedBy: attestedBy === requester && !isCapacityRole(code) ? attestedBy : "",
    }));
    const own = claimed.filter(({ attestedBy }) => attestedBy !== "");
    const { roles } = attested;
    return {
      user: request.user,
      claimed,
      roles,
      believed: codesOf([...own, ...roles]),
      bounds: [[]],
    };
  }
  const person = actingPerson(keys, { from: requester, key: signed.key, recipient }, asOf);
  const roles: RoleAttestation[] = [...attested.roles];
  if (person !== undefined) {
    const { from, to } = person.attested;
    roles.push({
      ...{ actor: requester, code: capacityRole(person.capacity), attestedBy: custodian },
      ...(from === undefined ? {} : { from }),
      ...(to === undefined ? {} : { to }),
    });
  }
  // Their keys may have been retired since the request was checked: then nothing is within their bounds.
  const bounds = person?.bounds ?? [];
  return { user: requester, claimed: [], roles, believed: codesOf(roles), bounds };
}

const codesOf = (roles: readonly { readonly code: string }[]): readonly string[] => [
  ...new Set(roles.map(({ code }) => code)),
];
