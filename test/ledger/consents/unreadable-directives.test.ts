import { describe, expect, it } from "vitest";
import type { EntryId } from "../../../src/codec/ids.ts";
import { decodeEntry, type SubjectEntry } from "../../../src/block/entry.ts";
import { cidOf, DAG_CBOR } from "../../../src/codec/cid.ts";
import { encode } from "../../../src/codec/dag-cbor.ts";
import type { Directive, Rule } from "../../../src/consent/model/model.ts";
import { decodeSignedHeader } from "../../../src/envelope/header.ts";
import type { FiledDirective } from "../../../src/ledger/consents/file-consent.ts";
import { encodeIdentifiers } from "../../../src/ledger/index/rows.ts";
import { signDirective } from "../../../src/ledger/consents/signed-directive.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import { fileAs } from "../../support/by-hand.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { bytesFor, START } from "../../support/ledger.ts";
import { texts, ward, type Ward } from "../../support/ward.ts";

const all = (effect: "permit" | "deny"): Rule => ({
  ...{ id: "all", effect, combine: "deny-overrides", when: {} },
});
/** A typed error that says what does not open. */
const NAMED = { code: expect.stringMatching(/^ERR_(STORAGE_(MISSING|CORRUPT)|ENVELOPE_MISSING)$/) };
const PRIVILEGED = { breakGlass: { roles: ["emergency-physician"] } };

interface Damaged {
  readonly w: Ward;
  /** The consent entry that nobody can read: a refusal of everything, in force before. */
  readonly refusal: EntryId;
  readonly permit: EntryId;
  file(change: Partial<Directive>): Promise<EntryId>;
}

/** What becomes of a refusal that stands on the ledger. */
const damages: Readonly<Record<string, (w: Ward, filed: FiledDirective) => Promise<void>>> = {
  "its ciphertext is lost": async (w, filed) => {
    const { header } = decodeSignedHeader(
      (await w.storage.blobs!.get(await envelopeOf(w, filed)))!,
    );
    const content = header.parts.find(({ id }) => id === "content")!;
    await w.storage.blobs!.delete(content.data);
  },
  "its header is lost, and the index was built again": async (w, filed) =>
    w.storage.blobs!.delete([await envelopeOf(w, filed)]),
  "its header is lost": async (w, filed) => w.storage.blobs!.delete([await envelopeOf(w, filed)]),
};

async function envelopeOf({ hl }: Ward, { place }: FiledDirective) {
  const { block } = await hl.chain.readBlock(place.height);
  const bytes = block.transactions[place.transaction]!.entries[place.entry]!;
  return (decodeEntry(bytes) as SubjectEntry).body;
}

async function damaged(damage: string): Promise<Damaged> {
  const w = await ward(PRIVILEGED);
  await w.hl.record(w.me, observation("bp-1"));
  const permit = await w.permit();
  const fileWith =
    ({ hl }: Ward) =>
    async (change: Partial<Directive>): Promise<EntryId> =>
      (await hl.consent(w.me, treatmentOnly(w.patient, change), { signer: w.patient })).id;
  if (damage === "it was written with NULs") {
    // The permit's own bytes with the lineage lost, as an earlier encoder left it.
    const refusal = treatmentOnly(w.patient, { predecessors: [permit], root: all("deny") });
    const signed = {
      directive: encode({ ...refusal, lineage: "\0\0\0\0\0\0\0" }),
      ...{ key: new Uint8Array(32), alg: "Ed25519", sig: new Uint8Array(64) },
    };
    return { w, permit, file: fileWith(w), refusal: await fileAs(w, "consent", encode(signed)) };
  }
  const refusal = treatmentOnly(w.patient, { predecessors: [permit], root: all("deny") });
  const filed = await w.hl.consent(w.me, refusal, { signer: w.patient });
  // Indexed, and read by the next process for the first time.
  await w.hl.directives(w.me);
  await w.hl.close();
  await damages[damage]!(w, filed);
  const hl = await w.again({ ...PRIVILEGED, repair: { index: damage.includes("built again") } });
  const again: Ward = {
    ...w,
    hl,
    ask: (who = w.b, what = {}) => hl.request(who, { patient: MRN, purposes: ["TREAT"], ...what }),
  };
  return { w: again, permit, file: fileWith(again), refusal: filed.id };
}

const breakTheGlass = ({ hl, b, clock }: Ward) =>
  hl.request(b, {
    patient: MRN,
    purposes: ["BTG"],
    roles: [{ code: "emergency-physician", attestedBy: b.signer.actor }],
    declaration: { reason: "unconscious", until: clock.now + 60_000 },
  });

describe("a directive that cannot be read", () => {
  for (const damage of [...Object.keys(damages), "it was written with NULs"]) {
    describe(damage, () => {
      it("refuses by name whatever else is permitted, until something replaces it", async () => {
        const { w, file, refusal } = await damaged(damage);
        await expect(w.ask()).rejects.toMatchObject(NAMED);
        // One of another lineage, one that amends, and one that names only what was before.
        await file({ lineage: "another", root: all("permit") });
        await file({
          mode: "amend",
          default: "none",
          predecessors: [refusal],
          root: all("permit"),
        });
        await expect(w.ask()).rejects.toMatchObject(NAMED);
        await expect(breakTheGlass(w)).rejects.toMatchObject(NAMED);
      });

      it("is lifted by a replacement that names it, which is in force at once", async () => {
        const { w, file, refusal } = await damaged(damage);
        await file({ predecessors: [refusal] });
        expect(await texts(await w.ask())).toEqual([observation("bp-1")]);
        const listed = await w.hl.directives(w.me);
        expect(listed.map(({ unreadable }) => unreadable === true)).toEqual([false, false, true]);
        expect(listed.at(-1)!.entry).toEqual(refusal);
        // It is what was filed that counts, not what is remembered.
        const hl = await w.again();
        const answer = await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] });
        expect(answer.count).toBe(1);
      });

      it("is replaced by a refusal as well", async () => {
        const { w, file, refusal } = await damaged(damage);
        await file({ predecessors: [refusal], root: all("deny") });
        expect((await w.ask()).count).toBe(0);
      });

      it("denies while the replacement has not begun, even to who breaks the glass", async () => {
        const { w, file, refusal } = await damaged(damage);
        const later = START + 3_600_000;
        await file({ predecessors: [refusal], validity: { from: later, zone: "UTC" } });
        await file({ lineage: "another", root: all("permit") });
        expect((await w.ask()).count).toBe(0);
        expect((await breakTheGlass(w)).count).toBe(0);
        w.clock.now = later;
        expect((await w.ask()).count).toBe(1);
      });

      it("is not lifted by one that was filed in ignorance of a later one", async () => {
        const { w, file, refusal } = await damaged(damage);
        await file({ predecessors: [refusal], root: all("deny") });
        await file({ predecessors: [refusal], root: all("permit") });
        expect((await w.ask()).count).toBe(0);
      });

      it("gives no permit back that it may have replaced, where only its end is stated", async () => {
        const { w, file, refusal } = await damaged(damage);
        const validity = { from: START - 1000, to: START + 1000, zone: "UTC" };
        await file({ predecessors: [refusal], validity });
        expect((await w.ask()).count).toBe(1);
        w.clock.now = START + 2000;
        expect((await w.ask()).count).toBe(0);
      });

      it("was not to be decided about before it was replaced", async () => {
        const { w, file, refusal } = await damaged(damage);
        const height = (await w.hl.chain.refresh()) - 1;
        await file({ predecessors: [refusal] });
        const question = { requester: w.b.signer.actor, purposes: ["TREAT"] };
        const outcomes = (await w.hl.decide(w.me, question)).records.map(
          ({ decision }) => decision.outcome,
        );
        expect(outcomes).toEqual(["permit"]);
        await expect(w.hl.decide(w.me, question, { height })).rejects.toMatchObject(NAMED);
      });

      it("is lifted by nobody who may not speak for the person", async () => {
        const { w, refusal } = await damaged(damage);
        const stranger = memorySigner({ alg: "Ed25519", secret: bytesFor("stranger") });
        const change = { predecessors: [refusal], root: all("permit") };
        const filing = w.hl.consent(w.me, treatmentOnly(stranger, change), { signer: stranger });
        await expect(filing).rejects.toMatchObject({ code: "ERR_CONSENT_INVALID" });
        await expect(w.ask()).rejects.toMatchObject(NAMED);
      });
    });
  }

  it("is not lifted by a replacement that is void, wherever it was filed", async () => {
    const { w, refusal } = await damaged("its header is lost");
    const directive = treatmentOnly(w.patient, { predecessors: [refusal], root: all("permit") });
    const salt = bytesFor("salt");
    const ledger = cidOf(encode({ v: 1, another: "ledger" }), DAG_CBOR);
    const signed = await signDirective(directive, w.patient, { ledger, person: MRN, salt });
    await fileAs(w, "consent", signed, {}, [
      { id: "salt", bytes: salt },
      { id: "identifier", bytes: encodeIdentifiers([MRN]) },
    ]);
    await expect(w.ask()).rejects.toMatchObject(NAMED);
    await expect(breakTheGlass(w)).rejects.toMatchObject(NAMED);
  });

  it("goes on being replaced when it was given up, and what it replaced stays ended", async () => {
    const { w, file, refusal } = await damaged("its header is lost, and the index was built again");
    // The permit before the refusal allowed treatment; this one allows research alone.
    const research: Rule = { ...all("permit"), id: "research", when: { purposes: ["HRESCH"] } };
    await file({ predecessors: [refusal], root: { ...all("deny"), rules: [research] } });
    const asked = async (purpose: string) => (await w.ask(w.b, { purposes: [purpose] })).count;
    for (const isGivenUp of [false, true]) {
      if (isGivenUp) await w.hl.giveUp([refusal], { reason: "no backup" });
      expect([await asked("TREAT"), await asked("HRESCH")]).toEqual([0, 1]);
    }
    const hl = await w.again({ repair: { index: true } });
    const research2 = await hl.request(w.b, { patient: MRN, purposes: ["HRESCH"] });
    const treatment = await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] });
    expect([treatment.count, research2.count]).toEqual([0, 1]);
  });

  it("no longer counts once it was given up without a replacement", async () => {
    const { w, refusal } = await damaged("its header is lost, and the index was built again");
    await w.hl.giveUp([refusal], { reason: "no backup" });
    expect((await w.ask()).count).toBe(1);
  });

  it("leaves two of them to a replacement that names both", async () => {
    const { w, file, refusal } = await damaged("its header is lost");
    const second = await fileAs(w, "consent", Uint8Array.of(0xa0));
    const first = await file({ predecessors: [refusal] });
    await expect(w.ask()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
    await file({ predecessors: [first, second] });
    expect((await w.ask()).count).toBe(1);
  });
});
