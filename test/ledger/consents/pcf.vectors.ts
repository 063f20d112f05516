import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createLabeller, type Labeller } from "../../../src/consent/labels/labeller.ts";
import {
  describeResource,
  fromConsent,
  pcfImplicitPolicy,
  type FhirResource,
} from "../../../src/fhir/index.ts";
import { signAttestation } from "../../../src/ledger/disclosure/attestation.ts";
import { describeVectors } from "../../support/vectors.ts";
import { fileAs, namesOf, WAYS, type PcfCase } from "../../support/published.ts";
import { ward } from "../../support/ward.ts";

// Every decision that IHE publishes for its consents, over the whole path: the published Consent and
// the published records as text, the request, and what is released of them.

const RECORDS = ["alcoholUse", "bloodPressure", "bloodSugar", "weight", "weight-2"].map(
  (name) => `Observation-ex-${name}`,
);

const DAY = 86_400_000;

/** PCF leaves labels to a service of its own: what it has labelled bears them, and is believed. */
const believing: Labeller = {
  ...createLabeller(),
  name: "what the label service wrote",
  label(resource) {
    const codes = describeResource(resource as FhirResource).labels.flatMap(({ system, code }) =>
      system === undefined ? [] : [{ system, code }],
    );
    return { codes, stamp: { labeller: "label service", version: "1" } };
  },
};

/** ActReason codes are bare; the one purpose of PCF's own examples has another system. */
const purposeOf = (code: string): string =>
  code === "FooBar" ? "http://example.org/policies/purposeOfUse|FooBar" : code;

describeVectors("IHE PCF over the whole path", join("consent", "ihe-pcf"), (folder) => {
  const read = (name: string): string =>
    readFileSync(join(folder, "resources", `${name}.json`), "utf8");
  const { cases } = JSON.parse(readFileSync(join(folder, "pcf-decisions.json"), "utf8")) as {
    cases: readonly PcfCase[];
  };

  async function released(
    way: (typeof WAYS)[number],
    { consent, asOf, request }: PcfCase,
  ): Promise<readonly string[]> {
    const now = Date.parse(asOf);
    const denied = pcfImplicitPolicy("deny", { organisation: "Organization/x", from: "2020" });
    const w = await ward({ now: () => now, policy: { labeller: believing, defaults: [denied] } });
    const entry = [...RECORDS, "Encounter-ex-encounter"].map(
      (name) => `{"resource":${read(name)}}`,
    );
    await w.hl.recordBundle(
      w.me,
      `{"resourceType":"Bundle","type":"collection","entry":[${entry.join()}]}`,
    );
    const { directive, dialect } = fromConsent(read(consent.replace("/", "-")), {
      lineage: consent,
    });
    expect(dialect).toBe("r4-pcf");
    await fileAs(way, w, directive, now);

    // The custodian vouches for the groups of who asks, and for what the organisation is called.
    const user = request.actor;
    const fact = { ledger: w.hl.id, requester: w.b.signer.actor, from: now - DAY, to: now + DAY };
    const named = user.startsWith("Organization/");
    const facts = named
      ? [{ ...fact, memberOf: user }]
      : request.actorGroups.map((memberOf) => ({ ...fact, user, memberOf }));
    const attestations = await Promise.all(
      facts.map((one) => signAttestation(one, w.hospitalA.signer())),
    );
    const emergency = request.purpose === "BTG";
    const answer = await w.ask(w.b, {
      user,
      purposes: [purposeOf(request.purpose)],
      attestations,
      ...(emergency && { declaration: { reason: "unconscious", until: now + 60_000 } }),
    });
    return namesOf(answer, "Observation");
  }

  it("has 26 cases", () => expect(cases).toHaveLength(26));

  describe.each(WAYS)("a consent that is %s", (way) => {
    it.each(cases)("$id: $consent for $request.purpose by $request.actor", async (item) => {
      const wanted = Object.entries(item.expected.perResource)
        .filter(([, effect]) => effect === "permit")
        .map(([name]) => name);
      expect(await released(way, item)).toEqual(wanted.sort());
    });
  });
});
