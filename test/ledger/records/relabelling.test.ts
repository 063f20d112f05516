import { describe, expect, it } from "vitest";
import {
  createLabeller,
  DEFAULT_LABEL_RULES,
  extendLabelRules,
  type LabelRuleAdditions,
  type ResourceLabels,
} from "../../../src/consent/index.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { MRN, treatmentOnly } from "../../support/hospital.ts";
import { collect, ward, type Ward } from "../../support/ward.ts";

const LAB = "urn:our-lab";
const rules = (version: string, more: Partial<LabelRuleAdditions> = {}) =>
  createLabeller(
    extendLabelRules(DEFAULT_LABEL_RULES, {
      name: "ours",
      version,
      systems: { [LAB]: { covers: "all" } },
      ...more,
    }),
  );
/** Once the laboratory's code 17 said nothing; then somebody learnt that it means depression. */
const before = rules("1");
const after = rules("2", { rules: [{ labels: ["PSY"], codes: { [LAB]: ["17"] } }] });

const result = (id: string, code = "17", more = "", system = LAB): string =>
  `{"resourceType":"Observation","id":"${id}","status":"final",${more}` +
  `"code":{"coding":[{"system":"${system}","code":"${code}"}]},` +
  `"subject":{"reference":"Patient/p1"},"effectiveDateTime":"2025-11-03"}`;

const names = (labels: ResourceLabels | null): string[] | undefined =>
  labels?.codes.map(({ code }) => code);
const labelsOf = async (hl: Ledger, w: Ward) =>
  new Map(
    (await hl.records(w.me)).map(({ head, labels }) => [head.manifest.resource!.id!, labels]),
  );
const asked = async (hl: Ledger, w: Ward): Promise<number> =>
  (await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] })).count;

describe("relabelStale", () => {
  it("labels by the current rules what was recorded under others, and consent follows", async () => {
    const w = await ward({ policy: { labeller: before } });
    await w.hl.consent(w.me, treatmentOnly(w.patient), { signer: w.patient });
    await w.hl.record(w.me, result("r-1"));
    await w.hl.record(w.me, result("r-2", "18"));
    expect(await asked(w.hl, w)).toBe(2);
    const hl = await w.again({ policy: { labeller: after } });
    // Until it is done, nothing is known of what older rules had judged.
    expect(await asked(hl, w)).toBe(0);
    expect(await hl.relabelStale()).toEqual({ stale: 2, relabelled: 2, unreadable: 0 });
    expect(await asked(hl, w)).toBe(1);
    const labels = await labelsOf(hl, w);
    expect(names(labels.get("r-1")!)).toEqual(["PSY", "R"]);
    expect(labels.get("r-1")!.stamp).toEqual({ labeller: "ours", version: "2" });
    expect(names(labels.get("r-2")!)).toEqual(["N"]);
    expect(labels.get("r-2")!.stamp).toEqual({ labeller: "ours", version: "2" });
    const { size } = hl.chain;
    expect(await hl.relabelStale()).toMatchObject({ stale: 0, relabelled: 0 });
    expect(hl.chain.size).toBe(size);
    expect((await hl.verify()).ok).toBe(true);
  });

  it("goes on where it was stopped, in another process too", async () => {
    const w = await ward({ policy: { labeller: before } });
    for (let i = 0; i < 5; i++) await w.hl.record(w.me, result(`r-${i}`));
    const hl = await w.again({ policy: { labeller: after } });
    const stop = new AbortController();
    let seen = 0;
    const stopped = hl.relabelStale({
      signal: stop.signal,
      onProgress({ relabelled, done }) {
        seen = done;
        if (relabelled === 2) stop.abort(new Error("enough"));
      },
    });
    await expect(stopped).rejects.toThrow("enough");
    await hl.close();
    const other = await w.again({ policy: { labeller: after } });
    const done: number[] = [];
    const report = await other.relabelStale({ onProgress: (p) => done.push(p.done) });
    expect(report).toMatchObject({ stale: 3, relabelled: 3 });
    expect(done[0]).toBe(seen + 1);
    // Rules that change again begin anew.
    const third = await w.again({ policy: { labeller: rules("3") } });
    expect(await third.relabelStale()).toMatchObject({ stale: 5, relabelled: 5 });
    expect([...(await labelsOf(third, w)).values()].map(names)).toEqual(Array(5).fill(["N"]));
  });

  it("stops before it begins when it is told to", async () => {
    const w = await ward({ policy: { labeller: before } });
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(w.hl.relabelStale({ signal })).rejects.toThrow("enough");
  });

  it("sees records that an older process files after the mark", async () => {
    const w = await ward({ policy: { labeller: before } });
    const first = await w.hl.record(w.me, result("r-1", "18"));
    const hl = await w.again({ policy: { labeller: after } });
    await hl.relabelStale();
    await w.hl.amend(first.id, result("r-1"));
    expect(names((await labelsOf(hl, w)).get("r-1")!)).toEqual(["N"]);
    expect(await hl.relabelStale()).toMatchObject({ stale: 1, relabelled: 1 });
    expect(names((await labelsOf(hl, w)).get("r-1")!)).toEqual(["PSY", "R"]);
  });

  it("keeps what others had set, and only adds to it", async () => {
    const w = await ward({ policy: { labeller: before } });
    const system = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    const stamp = { labeller: "registrar", version: "1" };
    const celebrity = { codes: [{ system, code: "CEL" }], stamp };
    await w.hl.record(w.me, result("r-1"), { labels: celebrity });
    await w.hl.record(w.me, result("r-2", "18"), { labels: celebrity });
    const hl = await w.again({ policy: { labeller: after } });
    expect(await hl.relabelStale()).toMatchObject({ stale: 2, relabelled: 1 });
    const labels = await labelsOf(hl, w);
    expect(names(labels.get("r-1")!)).toEqual(["CEL", "PSY", "R"]);
    expect(labels.get("r-1")!.stamp).toEqual(stamp);
    expect(labels.get("r-2")).toEqual(celebrity);
  });

  it("tells what nobody could judge from what somebody left open, by the former rules", async () => {
    const w = await ward({ policy: { labeller: before } });
    await w.hl.record(w.me, result("left-open", "18"), { labels: null });
    await w.hl.record(w.me, result("not-judged", "1", "", "urn:other-lab"));
    const found = {
      ...(before.label(JSON.parse(result("x", "18"))) as ResourceLabels),
      stamp: null,
    };
    await w.hl.record(w.me, result("not-sure", "18"), { labels: found });
    const hl = await w.again({
      policy: {
        labeller: rules("2", {
          systems: { [LAB]: { covers: "all" }, "urn:other-lab": { covers: "all" } },
        }),
      },
    });
    const stamps = async () =>
      [...(await labelsOf(hl, w))].map(([id, labels]) => [id, labels?.stamp?.version ?? null]);
    // Nobody knows which is which: none gets a stamp, however often it is done.
    for (let i = 0; i < 2; i++) {
      expect(await hl.relabelStale()).toMatchObject({ relabelled: 0 });
    }
    expect(await hl.relabelStale({ former: before })).toMatchObject({ stale: 3, relabelled: 1 });
    const told = [
      ["left-open", null],
      ["not-judged", "2"],
      ["not-sure", null],
    ];
    expect(await stamps()).toEqual(told);
    expect(await hl.relabelStale()).toMatchObject({ stale: 2, relabelled: 0 });
    expect(await stamps()).toEqual(told);
  });

  it("adds what it finds to what somebody left open, and no stamp", async () => {
    const w = await ward({ policy: { labeller: before } });
    await w.hl.record(w.me, result("r-1"), { labels: null });
    const hl = await w.again({ policy: { labeller: after } });
    for (const how of [{}, { former: before }]) {
      await hl.relabelStale(how);
      const labels = (await labelsOf(hl, w)).get("r-1")!;
      expect(names(labels)).toEqual(["PSY", "R"]);
      expect(labels.stamp).toBeNull();
    }
  });

  it("takes no label away where the rules cannot judge any more", async () => {
    const w = await ward({ policy: { labeller: after } });
    await w.hl.record(w.me, result("r-1"));
    await w.hl.record(w.me, result("r-2", "18"));
    const hl = await w.again({ policy: { labeller: rules("3", { systems: {} }) } });
    await hl.relabelStale();
    const labels = await labelsOf(hl, w);
    expect(names(labels.get("r-1")!)).toEqual(["PSY", "R"]);
    expect(labels.get("r-1")!.stamp).toBeNull();
    expect(labels.get("r-2")).toBeNull();
  });

  it("knows what a record refers to, among the person's own", async () => {
    const w = await ward({ policy: { labeller: before } });
    const entry = [
      { resource: JSON.parse(result("reason")) as unknown },
      {
        resource: JSON.parse(
          result("r-1", "18", '"hasMember":[{"reference":"Observation/reason"}],'),
        ) as unknown,
      },
    ];
    await w.hl.recordBundle(
      w.me,
      JSON.stringify({ resourceType: "Bundle", type: "collection", entry }),
    );
    const hl = await w.again({ policy: { labeller: after } });
    await hl.relabelStale();
    const labels = await labelsOf(hl, w);
    expect(names(labels.get("r-1")!)).toEqual(["PSY", "R"]);
    expect(labels.get("r-1")!.stamp).toEqual({ labeller: "ours", version: "2" });
  });

  it("leaves alone what was retracted or erased", async () => {
    const w = await ward({ policy: { labeller: before } });
    const gone = await w.hl.record(w.me, result("r-1"));
    await w.hl.retract(gone.id, "wrong patient");
    const hl = await w.again({ policy: { labeller: after } });
    expect(await hl.relabelStale()).toEqual({ stale: 0, relabelled: 0, unreadable: 0 });
    const other = await ward({ policy: { labeller: before } });
    await other.hl.record(other.me, result("r-1"));
    await other.hl.erase(other.me, { all: true, class: "clinical", reason: "asked for" });
    const again = await other.again({ policy: { labeller: after } });
    expect(await again.relabelStale()).toEqual({ stale: 0, relabelled: 0, unreadable: 0 });
  });

  it("says what it cannot read, and goes on", async () => {
    const w = await ward({ policy: { labeller: before } });
    await w.hl.record(w.me, result("r-1"));
    const [record] = await w.hl.records(w.me);
    await w.hl.record(w.me, result("r-2"));
    const { blobs } = w.storage as Required<typeof w.storage>;
    await w.hl.close();
    await blobs.delete([record!.head.envelope]);
    const hl = await w.again({ policy: { labeller: after } });
    expect(await hl.relabelStale()).toEqual({ stale: 2, relabelled: 1, unreadable: 1 });
    expect(await collect(hl.pendingReviews())).toEqual([]);
  });
});

describe("a record with attachments", () => {
  const attachments = [{ mediaType: "text/plain", source: new TextEncoder().encode("relapse") }];
  const labels = {
    codes: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActCode", code: "HIV" }],
    stamp: { labeller: "registrar", version: "1" },
  };

  it("is not known to be harmless, whatever its resource says, unless somebody says so", async () => {
    const w = await ward({ policy: { labeller: before } });
    await w.hl.consent(w.me, treatmentOnly(w.patient), { signer: w.patient });
    const plain = await w.hl.record(w.me, result("r-1", "18"));
    expect(names(plain.labels)).toEqual(["N"]);
    expect(await asked(w.hl, w)).toBe(1);
    const attached = await w.hl.amend(plain.id, result("r-1", "18"), { attachments });
    expect(attached.labels).toBeNull();
    expect(await asked(w.hl, w)).toBe(0);
    // A correction keeps what is attached.
    const corrected = await w.hl.amend(plain.id, result("r-1", "19"));
    expect(corrected.labels).toBeNull();
    expect((await w.hl.record(w.me, result("r-2", "18"), { attachments })).labels).toBeNull();
    expect((await w.hl.relabel(plain.id)).labels).toBeNull();
    expect((await w.hl.relabel(plain.id, labels)).labels).toEqual(labels);
    expect((await w.hl.record(w.me, result("r-3"), { attachments, labels })).labels).toEqual(
      labels,
    );
    const gone = await w.hl.amend(plain.id, result("r-1", "18"), { attachments: [] });
    expect(gone.labels?.stamp).not.toBeNull();
    const hl = await w.again({ policy: { labeller: after } });
    await hl.relabelStale({ former: before });
    const found = await labelsOf(hl, w);
    expect(found.get("r-2")).toBeNull();
    expect(found.get("r-3")!.stamp).toEqual(labels.stamp);
  });
});
