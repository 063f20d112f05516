import { memorySigner } from "../../src/identity/signer.ts";
import { createRequest, type RequestOptions } from "../../src/ledger/disclosure/request.ts";
import type { Ledger, OpenLedgerOptions } from "../../src/ledger/ledger.ts";
import { askingHospitals, type AskingHospitals } from "./asking.ts";
import { emptied } from "./elsewhere.ts";
import { MRN, observation, treatmentOnly } from "./hospital.ts";
import { bytesFor } from "./ledger.ts";

export const MINUTE = 60_000;
export const patient = memorySigner({ alg: "Ed25519", secret: bytesFor("patient") });
export const SWITCHED_ON: Partial<OpenLedgerOptions> = {
  breakGlass: { roles: ["physician"], whileCutOff: true },
  policy: { maxAge: 4 * MINUTE },
};

/** A custodian with a home elsewhere, whose patient refuses everybody, and which is then cut off. */
export async function cutOff(
  closing: (() => Promise<void>)[],
  options: Partial<OpenLedgerOptions> = SWITCHED_ON,
  change: Parameters<typeof treatmentOnly>[1] = { root: { ...DENIAL } },
) {
  const two = await askingHospitals(closing, { away: options });
  const { away, clock, peer } = two;
  const me = await away.ensureSubject(MRN);
  await away.attest(me, {
    ...{ actor: patient.actor, capacity: "self", alg: "Ed25519", publicKey: patient.publicKey },
    from: 0,
  });
  await away.record(me, observation("bp-away"));
  await away.consent(me, treatmentOnly(patient, change), { signer: patient });
  peer.isDown = true;
  clock.now += 5 * MINUTE;
  const emergency = (more: Partial<RequestOptions> = {}): RequestOptions => ({
    ...{ patient: MRN, purposes: ["BTG"] },
    roles: [{ code: "physician", attestedBy: more.user === "own" ? away.member : two.home.member }],
    declaration: { reason: "unconscious, no ID", until: clock.now + MINUTE },
    ...more,
  });
  const request = (more: Partial<RequestOptions> = {}) =>
    createRequest({
      ...{ ...emergency(more), ledger: away.id, custodian: away.member, now: clock.now },
      ...{ custodianKey: two.awayKeys.agreement(), signer: two.homeKeys.signer() },
      agreement: two.homeKeys.agreement(),
    });
  const ask = (more: Partial<RequestOptions> = {}) =>
    two.home.ask(away.member, emergency(more), { peer: two.toAway });
  return { ...two, patientHere: me, emergency, request, ask };
}

export const DENIAL = { id: "all", effect: "deny", combine: "deny-overrides", when: {} } as const;
/** Lets the home be reached again, and waits until it has everything. */
export async function back(
  two: Pick<AskingHospitals, "peer" | "source">,
  hl: Ledger,
): Promise<void> {
  two.peer.isDown = false;
  await emptied(two, hl);
}
