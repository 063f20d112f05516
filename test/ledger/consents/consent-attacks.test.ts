import { describe, expect, it } from "vitest";
import { toEntryId } from "../../../src/codec/ids.ts";
import {
  DEFAULT_LABEL_RULES,
  type Overlay,
  type ResourceLabels,
  type Rule,
} from "../../../src/consent/index.ts";
import { signAttestation } from "../../../src/ledger/disclosure/attestation.ts";
import type { CatalogueItem } from "../../../src/ledger/entries/catalogue-item.ts";
import { currentRecords } from "../../../src/ledger/records/current-record.ts";
import { labelsOfBoth } from "../../../src/consent/labels/unite-labels.ts";
import { keyEntry, memberEntry } from "../../support/forge.ts";
import { alcoholDependence, observation } from "../../support/hospital.ts";
import { signerFor } from "../../support/ledger.ts";
import { revoking, ward, type Ward } from "../../support/ward.ts";

const ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
const psy = (stamp: ResourceLabels["stamp"]): ResourceLabels => ({
  codes: [{ system: ACT_CODE, code: "PSY" }],
  stamp,
});
const officer = { labeller: "officer", version: "1" };
const rule = (effect: Rule["effect"], change: Partial<Rule> = {}): Rule => ({
  id: "root",
  effect,
  combine: "deny-overrides",
  when: {},
  ...change,
});
const codesOf = async (w: Ward): Promise<string[]> =>
  (await w.hl.records(w.me))[0]!.labels?.codes.map(({ code }) => code) ?? [];
const stampOf = async (w: Ward) => (await w.hl.records(w.me))[0]!.labels?.stamp ?? null;

describe("a correction without labels", () => {
  it("stamps nothing that somebody had labelled without a stamp, whatever the labeller finds", async () => {
    const w = await ward();
    await w.permit();
    const { id, labels } = await w.hl.record(w.me, alcoholDependence("c1"));
    expect(labels!.stamp).not.toBeNull();
    // Somebody says: at least this, and perhaps more.
    await w.hl.relabel(id, { ...labels!, stamp: null });
    for (const text of [observation("o1"), observation("o1", "2.5")]) {
      const corrected = await w.hl.amend(id, text);
      expect(corrected.labels!.stamp).toBeNull();
      expect(corrected.labels!.codes).toEqual(expect.arrayContaining([...labels!.codes]));
    }
    expect((await w.ask()).count).toBe(0);
  });

  it("stamps nothing that somebody had left open, also where he named nothing", async () => {
    const w = await ward();
    await w.permit();
    const { id } = await w.hl.record(w.me, observation("o1"));
    await w.hl.relabel(id, { codes: [], stamp: null });
    const corrected = await w.hl.amend(id, observation("o1", "2.5"));
    expect(corrected.labels?.stamp ?? null).toBeNull();
    expect((await w.ask()).count).toBe(0);
  });

  it("stamps nothing of which somebody had said that nothing is known", async () => {
    const w = await ward();
    await w.permit();
    const { id } = await w.hl.record(w.me, observation("o1"));
    await w.hl.relabel(id, null);
    const corrected = await w.hl.amend(id, observation("o1", "2.5"));
    expect(corrected.labels!.stamp).toBeNull();
    expect((await w.ask()).count).toBe(0);
  });

  it("loses an officer's stamp where it says what no rule can judge", async () => {
    const w = await ward();
    const { id } = await w.hl.record(w.me, observation("o1"));
    await w.hl.relabel(id, psy(officer));
    const judged = await w.hl.amend(id, observation("o1", "2.5"));
    expect(judged.labels!.stamp).toEqual(officer);
    const prose = JSON.stringify({
      ...(JSON.parse(observation("o1")) as object),
      note: [{ text: "came in with his partner" }],
    });
    const corrected = await w.hl.amend(id, prose);
    expect(corrected.labels).toEqual(psy(null));
  });

  it("gets the stamp again when it ends what made its labels incomplete", async () => {
    const w = await ward();
    const file = { mediaType: "text/plain", source: new TextEncoder().encode("x") };
    const { id, labels } = await w.hl.record(w.me, alcoholDependence("c1"), {
      attachments: [file],
    });
    expect(labels!.stamp).toBeNull();
    const corrected = await w.hl.amend(id, observation("o1"), { attachments: [] });
    expect(corrected.labels!.stamp).not.toBeNull();
    expect(corrected.labels!.codes.map(({ code }) => code)).toEqual(["N"]);
  });
});

describe("labels given by two processes at once", () => {
  const conflict = expect.objectContaining({ code: "ERR_RECORD_CONFLICT" });

  it("keep what one of them said when the other corrects the record", async () => {
    const w = await ward();
    await w.permit();
    const { id } = await w.hl.record(w.me, observation("o1"));
    const other = await w.again();
    w.traps.before = async () => void (await other.relabel(id, psy(officer)));
    const correction = w.hl.amend(id, observation("o1", "2.5"));
    await expect(correction).rejects.toEqual(conflict);
    expect(await codesOf(w)).toEqual(["N", "PSY"]);
    expect((await w.ask()).count).toBe(0);
    // And so they do in the next correction, and to whoever reads the ledger anew.
    await w.hl.amend(id, observation("o1", "3"));
    expect(await codesOf(w)).toContain("PSY");
    expect((await w.ask()).count).toBe(0);
  });

  it("never hold for content that one of them had not seen", async () => {
    const w = await ward();
    await w.permit();
    const { id } = await w.hl.record(w.me, observation("o1"));
    const other = await w.again();
    w.traps.before = async () => {
      await other.amend(id, alcoholDependence("c1"));
    };
    await expect(w.hl.relabel(id)).rejects.toEqual(conflict);
    expect(await codesOf(w)).toContain("ETHUD");
    expect((await w.ask()).count).toBe(0);
    // Who labels what he has seen is believed.
    await w.hl.relabel(id);
    expect(await codesOf(w)).not.toContain("N");
    expect(await stampOf(w)).not.toBeNull();
  });

  it("are made anew by the current rules where they were made in ignorance", async () => {
    const w = await ward();
    const stamp = { labeller: DEFAULT_LABEL_RULES.name, version: "0" };
    const { id } = await w.hl.record(w.me, observation("o1"), { labels: { codes: [], stamp } });
    const other = await w.again();
    w.traps.before = async () => {
      await other.amend(id, alcoholDependence("c1"));
    };
    const report = await w.hl.relabelStale();
    expect(report).toMatchObject({ unreadable: 0 });
    expect(await codesOf(w)).toEqual((await other.relabel(id)).labels!.codes.map((c) => c.code));
    expect(await codesOf(w)).not.toContain("N");
  });

  it("bear the stamp of whoever judged what the record holds now", () => {
    const by = (version: string, code: string): ResourceLabels => ({
      codes: [{ system: ACT_CODE, code }],
      stamp: { labeller: "rules", version },
    });
    const item = (op: string, id: number, replaces: number | null, labels: ResourceLabels) =>
      ({
        kind: "record",
        id: Uint8Array.of(id),
        manifest: {
          op,
          labels,
          ...(replaces === null ? {} : { replaces: toEntryId(Uint8Array.of(replaces)) }),
        },
      }) as unknown as CatalogueItem;
    const fold = (...items: CatalogueItem[]) => [...currentRecords(items).values()][0]!.labels!;
    const first = item("create", 1, null, by("1", "A"));
    const amended = item("amend", 2, 1, by("2", "B"));
    const names = ({ codes, stamp }: ResourceLabels) => [
      codes
        .map(({ code }) => code)
        .sort()
        .join(""),
      stamp?.version,
    ];
    expect(names(fold(first, amended, item("relabel", 3, 2, by("3", "C"))))).toEqual(["C", "3"]);
    // Judged the first content.
    expect(names(fold(first, amended, item("relabel", 3, 1, by("3", "C"))))).toEqual(["BC", "2"]);
    // Both judged the same content, the second not knowing the first.
    const label = item("relabel", 3, 1, by("3", "C"));
    expect(names(fold(first, label, item("relabel", 4, 1, by("4", "D"))))).toEqual(["CD", "4"]);
    expect(names(fold(first, label, item("amend", 4, 1, by("4", "D"))))).toEqual(["CD", "4"]);
    expect(names(fold(first, label, item("amend", 4, 3, by("4", "D"))))).toEqual(["D", "4"]);
  });

  it("are complete only where both were, by one labeller", () => {
    const [one, other] = [psy(officer), { codes: [], stamp: { labeller: "b", version: "1" } }];
    expect(labelsOfBoth(one, { codes: [], stamp: { ...officer, version: "0" } })).toEqual(one);
    expect(labelsOfBoth(one, other)!.stamp).toBeNull();
    expect(labelsOfBoth(other, one)).toEqual(psy(null));
    expect(labelsOfBoth(one, null)).toEqual(psy(null));
    expect(labelsOfBoth(null, one)).toEqual(psy(null));
    expect(labelsOfBoth(psy(null), psy(null))).toEqual(psy(null));
    expect(labelsOfBoth(null, { codes: [], stamp: null })).toBeNull();
  });
});

describe("breaking the glass", () => {
  const privileged = { breakGlass: { roles: ["emergency-physician"] } };
  const broken = async (w: Ward, purposes: readonly string[]): Promise<number> => {
    const { count } = await w.ask(w.b, {
      purposes,
      roles: [{ code: "emergency-physician", attestedBy: w.b.signer.actor }],
      declaration: { reason: "unconscious", until: w.clock.now + 60_000 },
    });
    return count;
  };

  it("opens for treatment, and for no purpose that rides along", async () => {
    const w = await ward(privileged);
    await w.hl.record(w.me, observation("o1"));
    await w.permit({ default: "deny", root: rule("deny") });
    expect(await broken(w, ["BTG"])).toBe(1);
    expect(await broken(w, ["BTG", "TREAT", "ETREAT"])).toBe(1);
    for (const more of ["HMARKT", "HRESCH", "HPAYMT", "urn:example|anything"]) {
      expect(await broken(w, ["BTG", more]), more).toBe(0);
      expect(await broken(w, [more]), more).toBe(0);
    }
  });

  it("takes a reason, and says when it ends", async () => {
    const w = await ward(privileged);
    await w.hl.record(w.me, observation("o1"));
    const until = w.clock.now + 1000;
    const answer = (reason: string) =>
      w.ask(w.b, {
        purposes: ["BTG"],
        roles: [{ code: "emergency-physician", attestedBy: w.b.signer.actor }],
        declaration: { reason, until },
      });
    const { count, decision } = await answer("unconscious");
    expect(count).toBe(1);
    expect(decision.expiresAt).toBeLessThanOrEqual(until);
    expect((await w.audit())[0]!.records[0]!.decision.expiresAt ?? until).toBeLessThanOrEqual(
      until,
    );
    expect(
      await answer(" \n").then(
        (one) => one.count,
        () => 0,
      ),
    ).toBe(0);
  });

  it("heeds the patient's never when all sharing is suspended, until it is revoked", async () => {
    for (const [mode, count] of [
      ["suspend", 0],
      ["revoke", 1],
    ] as const) {
      const w = await ward(privileged);
      await w.hl.record(w.me, observation("o1"));
      const never = await w.permit({ root: rule("permit", { breakGlass: "never" }) });
      await w.hl.consent(w.me, revoking(w.patient, { mode, predecessors: [never] }), {
        signer: w.patient,
      });
      expect(await broken(w, ["BTG"]), mode).toBe(count);
    }
  });

  it("heeds never where a rule that allows it may not be about the record", async () => {
    const labels = [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "PSY" }];
    const prose = `{"resourceType":"Observation","id":"o2","status":"final","code":{"text":"he said"}}`;
    for (const [text, count] of [
      [observation("o1"), 0],
      [prose, 0],
    ] as const) {
      const w = await ward(privileged);
      await w.hl.record(w.me, text);
      const allowed = rule("deny", { id: "psychiatry", when: { data: { labels } } });
      const inner = { ...allowed, breakGlass: "allowed" as const };
      await w.permit({ root: rule("permit", { breakGlass: "never", rules: [inner] }) });
      expect(await broken(w, ["BTG"]), text).toBe(count);
    }
  });

  it("heeds the patient's never where the law refuses too", async () => {
    const overlay: Overlay = {
      v: 1,
      basis: { uri: "urn:example:law", version: "1" },
      validity: { from: "2020-01-01", zone: "UTC" },
      root: rule("deny", { id: "law" }),
    };
    for (const [said, count] of [
      [{}, 1],
      [{ breakGlass: "never" as const }, 0],
    ] as const) {
      const w = await ward({ ...privileged, policy: { overlays: [overlay] } });
      await w.hl.record(w.me, observation("o1"));
      await w.permit({ root: rule("deny", said) });
      expect(await broken(w, ["BTG"])).toBe(count);
    }
  });
});

describe("hl.decide", () => {
  const asked = (w: Ward, more = {}) => ({
    requester: w.b.signer.actor,
    user: "dr-lee",
    purposes: ["TREAT"],
    ...more,
  });
  const outcome = async (w: Ward, more = {}, time = {}) =>
    (await w.hl.decide(w.me, asked(w, more), time)).records[0]?.decision.outcome;
  const attestationOf = (w: Ward, change = {}) =>
    signAttestation(
      {
        ledger: w.hl.id,
        requester: w.b.signer.actor,
        user: "dr-lee",
        role: "oncologist",
        from: w.clock.now - 1000,
        to: w.clock.now + 1000,
        ...change,
      },
      w.c.signer,
    );
  async function oncology(): Promise<Ward> {
    const w = await ward();
    await w.permit({
      default: "deny",
      root: rule("permit", { when: { roles: ["oncologist"] } }),
    });
    await w.hl.record(w.me, observation("o1"));
    return w;
  }

  it("believes the attestations that a request would bring, and no other", async () => {
    const w = await oncology();
    const good = await attestationOf(w);
    expect(await outcome(w)).toBe("deny");
    expect(await outcome(w, { attestations: [good] })).toBe("permit");
    expect(await outcome(w, { attestations: [good], user: "dr-may" })).toBe("deny");
    expect(await outcome(w, { attestations: [good], requester: w.c.signer.actor })).toBe("deny");
    expect(await outcome(w, { attestations: [good] }, { asOf: w.clock.now + 1001 })).toBe("deny");
    const bad = good.slice();
    bad[bad.length - 40]! ^= 1;
    expect(await outcome(w, { attestations: [bad, new Uint8Array(3)] })).toBe("deny");
    // The same snapshot as that of the disclosure that brings it.
    await w.ask(w.b, { user: "dr-lee", attestations: [good] });
    const { records } = (await w.audit()).at(-1)!;
    const { snapshot, asOf } = records[0]!.decision;
    const height = w.hl.chain.size - 2;
    const question = asked(w, { attestations: [good] });
    const again = await w.hl.decide(w.me, question, { height, asOf });
    expect(again.snapshot.toString()).toBe(snapshot.toString());
  });

  it("judges attestations and claims by who was a member, and by what key, at that height", async () => {
    const w = await oncology();
    const attestations = [await attestationOf(w)];
    const roles = [{ code: "oncologist", attestedBy: w.c.signer.actor }];
    const { actor } = w.c.signer;
    const key = signerFor("institute second", actor);
    await w.write(w.institute, [await keyEntry(w.hl.id, actor, "add", "sign", key)]);
    const before = w.hl.chain.size - 1;
    await w.hl.records(w.me);
    const retired = await heightAfter(w, async () => {
      await w.write(w.institute, [await keyEntry(w.hl.id, actor, "retire", "sign", w.c.signer)]);
    });
    expect(await outcome(w, { attestations }, { height: retired - 1 })).toBe("permit");
    expect(await outcome(w, { attestations }, { height: retired })).toBe("deny");
    expect(await outcome(w, { attestations })).toBe("deny");
    const left = await heightAfter(w, async () => {
      const approvers = [w.hospitalA.signer(), w.hospitalB.signer()];
      const change = [{ op: "remove" as const, actor }];
      await w.write(w.hospitalA, [await memberEntry(w.hl.id, change, approvers)]);
    });
    expect(await outcome(w, { roles }, { height: left - 1 })).toBe("permit");
    // As a disclosure would at that height: who has left in this block is none any more.
    expect(await outcome(w, { roles }, { height: left })).toBe("deny");
    expect(before).toBeLessThan(retired);
  });

  it.each([
    // Another process takes the consent in, and it does not open.
    ["without closing", "ERR_STORAGE_CORRUPT"],
    // The index has it already, but what it says is not there.
    ["and closed", "ERR_STORAGE_MISSING"],
  ])("says nothing where a consent does not open, filed %s", async (how, code) => {
    const w = await oncology();
    const [consent] = (await w.hl.chain.readBlock(w.hl.chain.size - 1)).block.transactions;
    expect(consent).toBeDefined();
    if (how === "and closed") await w.hl.close();
    for await (const cid of w.storage.blobs!.list()) await w.storage.blobs!.delete([cid]);
    const hl = await w.again();
    await expect(hl.decide(w.me, asked(w))).rejects.toMatchObject({ code });
  });
});

/** The height of the last block after something was written elsewhere. */
async function heightAfter(w: Ward, work: () => Promise<void>): Promise<number> {
  await work();
  await w.hl.records(w.me);
  await w.hl.findSubject({ system: "urn:oid:1.2.3", value: "catch up" });
  await w.hl.decide(w.me, { requester: "nobody", purposes: ["TREAT"] });
  return w.hl.chain.size - 1;
}
