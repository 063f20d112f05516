import { describe, expect, it } from "vitest";
import { cidOf, DAG_CBOR } from "../../../src/codec/cid.ts";
import {
  explain,
  minorSelfConsentOverlay,
  part2Overlay,
  type Directive,
  type Rule,
} from "../../../src/consent/index.ts";
import { encodeOverlay } from "../../../src/consent/model/directive.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import { pcfImplicitPolicy } from "../../../src/fhir/pcf-policies.ts";
import { alcoholDependence, observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor, START } from "../../support/ledger.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const label = (code: string) => ({
  system: "http://terminology.hl7.org/CodeSystem/v3-ActCode",
  code,
});
const rule = (id: string, when: Rule["when"], effect: Rule["effect"] = "permit"): Rule => ({
  id,
  effect,
  combine: "deny-overrides",
  when,
});
const types = async (w: Ward): Promise<unknown[]> =>
  (await opened(await w.ask())).map(({ resource }) => resource?.resourceType);

describe("42 CFR Part 2 in a ledger", () => {
  const part2 = part2Overlay();
  const inForce = { overlays: [part2], supportedObligations: ["PRIVMARK"], jurisdictions: ["US"] };
  const general = rule("care", { purposes: ["TREAT"] });
  /** What § 2.31 wants: which information, and to whom. */
  const written = (to: string): Rule =>
    rule("part-2", {
      purposes: ["TREAT"],
      actors: [{ type: "organisation", id: to }],
      data: { labels: [label("SUD")] },
    });

  async function clinic(more: Partial<typeof inForce> = {}): Promise<Ward> {
    const w = await ward({ policy: { ...inForce, ...more } });
    await w.hl.record(w.me, observation("o1"));
    await w.hl.record(w.me, alcoholDependence("c1"));
    return w;
  }

  it("closes what a general consent opens, and says so in the audit", async () => {
    const w = await clinic();
    await w.permit({ root: general });
    expect(await types(w)).toEqual(["Observation"]);
    const [access] = await w.audit();
    const refused = access!.records.find(({ type }) => type === "Condition")!.decision;
    expect(refused.reasons.map(({ kind }) => kind)).toContain("requirement");
    expect(explain(refused)).toContain("The law demands");
  });

  it("opens by a written consent, which travels with what is disclosed", async () => {
    const w = await clinic();
    await w.permit({ root: general });
    const statement: Partial<Directive> = {
      lineage: "part-2",
      default: "none",
      root: written(w.b.signer.actor),
    };
    const consent = await w.permit(statement);
    const answer = await w.ask();
    expect(answer.count).toBe(2);
    // The notice and the ban on redisclosure bind who receives it,
    expect(answer.decision.obligations).toContain("PRIVMARK");
    expect(answer.decision.refrains).toContain("NORDSCLCD");
    // and the answer names the law, the consent and its scope.
    const based = answer.decision.basedOn.map(String);
    const filed = (await w.hl.directives(w.me)).find(({ entry }) => entry === consent)!;
    expect(based).toContain(cidOf(encodeOverlay(part2), DAG_CBOR).toString());
    expect(based).toContain(filed.cid.toString());
    expect(explain(answer.decision)).toMatch(
      /allows this to be shared .*rule "part-2".*, which looks at the purpose, who is asking and the sensitivity of the record/,
    );
    expect(explain(answer.decision)).toContain("The recipient is bound to:");
    // It stands in the audit for good.
    const condition = (await w.audit())[0]!.records.find(({ type }) => type === "Condition")!;
    expect(condition.released).toBe(true);
    expect(condition.decision).toMatchObject({
      obligations: ["PRIVMARK"],
      refrains: ["NORDSCLCD"],
    });
    const plain = (await w.audit())[0]!.records.find(({ type }) => type === "Observation")!;
    expect(plain.decision).toMatchObject({ obligations: [], refrains: [] });
  });

  it("opens to nobody but the recipient whom the consent names", async () => {
    const w = await clinic();
    await w.permit({ root: general });
    await w.permit({ lineage: "part-2", default: "none", root: written(w.c.signer.actor) });
    expect(await types(w)).toEqual(["Observation"]);
  });

  it("stays closed where nobody can attach the notice", async () => {
    const w = await clinic({ supportedObligations: [] });
    await w.permit({ root: general });
    await w.permit({ lineage: "part-2", default: "none", root: written(w.b.signer.actor) });
    expect(await types(w)).toEqual(["Observation"]);
  });
});

describe("minors' self-consent in a ledger", () => {
  const majority = START + 1_000_000;
  const minor = minorSelfConsentOverlay({
    until: majority,
    zone: "UTC",
    jurisdictions: ["US-CA"],
    labels: [label("SUD")],
  });

  it("opens by the minor's own word, not by the mother's, until majority", async () => {
    const w = await ward({ policy: { overlays: [minor], jurisdictions: ["US-CA"] } });
    await w.hl.record(w.me, observation("o1"));
    await w.hl.record(w.me, alcoholDependence("c1"));
    const mother = memorySigner({ alg: "Ed25519", secret: bytesFor("mother") });
    const { actor, alg, publicKey } = mother;
    await w.hl.attest(w.me, { actor, alg, publicKey, capacity: "guardian" });
    const hers = treatmentOnly(mother, {
      lineage: "mother",
      grantor: { actor, capacity: "guardian", evidence: [] },
      default: "none",
      root: rule("all", { purposes: ["TREAT"] }),
    });
    await w.hl.consent(w.me, hers, { signer: mother });
    expect(await types(w)).toEqual(["Observation"]);
    const { patient } = w;
    await w.hl.attest(w.me, {
      actor: patient.actor,
      alg: patient.alg,
      publicKey: patient.publicKey,
      capacity: "self",
    });
    await w.permit({
      lineage: "own",
      default: "none",
      root: rule("mine", { purposes: ["TREAT"], data: { labels: [label("SUD")] } }),
    });
    expect(await types(w)).toEqual(["Observation", "Condition"]);
  });

  it("leaves it to the mother's consent once the law has nothing to say", async () => {
    const w = await ward({ policy: { overlays: [minor], jurisdictions: ["US-CA"] } });
    await w.hl.record(w.me, alcoholDependence("c1"));
    const mother = memorySigner({ alg: "Ed25519", secret: bytesFor("mother") });
    const { actor, alg, publicKey } = mother;
    await w.hl.attest(w.me, { actor, alg, publicKey, capacity: "guardian" });
    const hers = treatmentOnly(mother, {
      grantor: { actor, capacity: "guardian", evidence: [] },
      root: rule("all", { purposes: ["TREAT"] }),
    });
    await w.hl.consent(w.me, hers, { signer: mother });
    const asked = { requester: w.b.signer.actor, purposes: ["TREAT"] };
    const outcomeAt = async (asOf: number) =>
      (await w.hl.decide(w.me, asked, { asOf })).records[0]!.decision.outcome;
    expect(await outcomeAt(majority)).toBe("deny");
    expect(await outcomeAt(majority + 1)).toBe("permit");
  });
});

describe("an organisation's default in a ledger", () => {
  it.each([
    ["basic-normal", ["Observation"]],
    ["all-normal", ["Observation"]],
    ["break-glass-only", []],
    ["deny", []],
  ] as const)("%s speaks by its CID where the patient is silent", async (name, released) => {
    const policy = pcfImplicitPolicy(name, { organisation: "Organization/1", from: "2020" });
    const w = await ward({ policy: { defaults: [policy] } });
    await w.hl.record(w.me, observation("o1"));
    expect(await types(w)).toEqual(released);
    const [access] = await w.audit();
    expect(access!.records[0]!.decision.reasons[0]!.layer).toBe("organisation");
    // a recorded consent leaves it behind
    await w.permit({ root: rule("all", { purposes: ["HRESCH"] }) });
    expect(await types(w)).toEqual([]);
  });
});
