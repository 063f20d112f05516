import { describe, expect, it } from "vitest";
import { memorySigner } from "../../../src/identity/signer.ts";
import { observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

const A = "urn:oid:1.1.1";
const M = "urn:oid:2.2.2";
const INSURANCE = "urn:oid:5.5.5";
const a = (value: string, more: object = {}) => ({ system: A, value, use: "official", ...more });
const m = (value: string, more: object = {}) => ({ system: M, value, use: "secondary", ...more });
const insured = (value: string) => ({ system: INSURANCE, value, use: "secondary" });
const plain = ({ system, value }: { system: string; value: string }) => ({ system, value });

const bundleOf = (id: string, ...identifier: object[]): string =>
  JSON.stringify({
    resourceType: "Bundle",
    type: "collection",
    entry: [
      { fullUrl: `urn:uuid:p-${id}`, resource: { resourceType: "Patient", id, identifier } },
      {
        fullUrl: `urn:uuid:o-${id}`,
        resource: {
          ...(JSON.parse(observation(`o${id}`)) as object),
          subject: { reference: `urn:uuid:p-${id}` },
        },
      },
    ],
  });

async function refuses(w: Ward, number: { system: string; value: string }): Promise<void> {
  const key = memorySigner({ alg: "Ed25519", secret: bytesFor(`key ${number.value}`) });
  const when = { purposes: ["TREAT"] };
  const root = { id: "all", effect: "deny", combine: "deny-overrides", when } as const;
  const subject = await w.hl.findSubject(plain(number));
  await w.hl.consent(subject!, treatmentOnly(key, { root }), { signer: key });
}

async function permits(w: Ward, number: { system: string; value: string }): Promise<void> {
  const key = memorySigner({ alg: "Ed25519", secret: bytesFor(`key ${number.value}`) });
  const subject = await w.hl.findSubject(plain(number));
  await w.hl.consent(subject!, treatmentOnly(key), { signer: key });
}

async function released(w: Ward, number: { system: string; value: string }): Promise<unknown[]> {
  const answer = await w.hl.request(w.b, { patient: plain(number), purposes: ["TREAT"] });
  return (await opened(answer)).map(({ resource }) => resource!["id"]).sort();
}

describe("all numbers of a Patient", () => {
  it("find the person: what was refused under one holds for what comes under another", async () => {
    const w = await ward();
    const first = await w.hl.recordBundle(null, bundleOf("1", a("1"), m("7")));
    await refuses(w, a("1"));
    const second = await w.hl.recordBundle(null, bundleOf("2", m("7")));
    expect(second.recorded.map(({ subject }) => subject)).toEqual(
      first.recorded.map(({ subject }) => subject),
    );
    expect(second.proposals).toEqual([]);
    for (const number of [a("1"), m("7")]) expect(await released(w, number)).toEqual([]);
  });

  it("are released by what was permitted under another", async () => {
    const w = await ward();
    await w.hl.recordBundle(null, bundleOf("1", a("1"), m("7")));
    await permits(w, a("1"));
    await w.hl.recordBundle(null, bundleOf("2", m("7")));
    expect(await released(w, m("7"))).toEqual(["1", "2", "o1", "o2"]);
  });

  it("become known of somebody who was known by one of them, once", async () => {
    const w = await ward();
    const known = await w.hl.ensureSubject(plain(m("7")));
    const size = async () => {
      const { hl } = w;
      await hl.chain.refresh();
      return hl.chain.size;
    };
    await w.hl.recordBundle(null, bundleOf("1", a("1"), m("7"), insured("i")));
    for (const number of [a("1"), insured("i")]) {
      expect(await w.hl.findSubject(plain(number))).toEqual(known);
    }
    const before = await size();
    await w.hl.recordBundle(null, bundleOf("1", a("1"), m("7"), insured("i")));
    expect(await size()).toBe(before);
  });

  it("stay known when the index is rebuilt", async () => {
    const w = await ward();
    const { recorded } = await w.hl.recordBundle(null, bundleOf("1", a("1"), m("7")));
    await w.hl.recordBundle(null, bundleOf("2", m("7"), insured("i")));
    const again = await w.again({ repair: { index: true } });
    for (const number of [a("1"), m("7"), insured("i")]) {
      expect(await again.findSubject(plain(number))).toEqual(recorded[0]!.subject);
    }
  });

  it("of two known persons merge nobody: it is proposed, and nothing is filed", async () => {
    const w = await ward();
    const one = await w.hl.ensureSubject(plain(a("1")));
    const other = await w.hl.ensureSubject(plain(m("7")));
    const done = await w.hl.recordBundle(null, bundleOf("1", a("1"), m("7")));
    expect(done.recorded).toEqual([]);
    expect(done.proposals).toEqual([{ subjects: [one, other], because: plain(m("7")) }]);
    expect(await w.hl.findSubject(plain(m("7")))).toEqual(other);
  });

  it("do not give a child's records to the mother by the number of their insurance", async () => {
    const w = await ward();
    const mother = await w.hl.recordBundle(null, bundleOf("1", a("1"), insured("i")));
    await permits(w, a("1"));
    const child = await w.hl.recordBundle(null, bundleOf("2", a("2"), insured("i")));
    expect(child.recorded).toEqual([]);
    const { subject } = mother.recorded[0]!;
    expect(child.proposals).toEqual([{ subjects: [subject], because: plain(insured("i")) }]);
    expect(await released(w, a("1"))).toEqual(["1", "o1"]);
    const own = await w.hl.ensureSubject(plain(a("2")));
    const named = await w.hl.recordBundle(own, bundleOf("2", a("2"), insured("i")));
    expect(named.recorded).toHaveLength(2);
    expect(await released(w, a("1"))).toEqual(["1", "o1"]);
  });

  it("that were theirs propose whose they are, beside a number that is", async () => {
    const w = await ward();
    const former = await w.hl.ensureSubject(plain(a("1")));
    const present = await w.hl.ensureSubject(plain(a("2")));
    const done = await w.hl.recordBundle(null, bundleOf("1", a("1", { use: "old" }), a("2")));
    expect(done.recorded.map(({ subject }) => subject)).toEqual([present, present]);
    expect(done.proposals).toEqual([{ subjects: [present, former], because: plain(a("1")) }]);
  });

  it("that were theirs make nobody known", async () => {
    const w = await ward();
    const old = a("1", { use: "old" });
    const one = await w.hl.recordBundle(null, bundleOf("1", old));
    expect(one.recorded).toEqual([]);
    expect(one.proposals).toEqual([]);
    const two = await w.hl.recordBundle(null, bundleOf("2", old, m("7")));
    expect(two.recorded).toHaveLength(2);
    expect(await w.hl.findSubject(plain(a("1")))).toBeUndefined();
  });

  it("are one person's for two bundles at once, or a proposal", async () => {
    const w = await ward();
    const done = await Promise.all([
      w.hl.recordBundle(null, bundleOf("1", a("1"), m("7"))),
      w.hl.recordBundle(null, bundleOf("2", m("7"), insured("i"))),
      w.hl.recordBundle(null, bundleOf("3", m("7"))),
    ]);
    const seven = await w.hl.findSubject(plain(m("7")));
    for (const { recorded, proposals, skipped } of done) {
      const theirs = recorded.every(({ subject }) => subject.local.join() === seven!.local.join());
      expect(theirs && (skipped.length === 0 || proposals.length > 0)).toBe(true);
    }
  });
});
