import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { trustFromGenesis } from "../../../src/chain/trust.ts";
import { verifyReceipt } from "../../../src/chain/verify-receipt.ts";
import { equalBytes } from "../../../src/bytes/compare.ts";
import { fromConsent } from "../../../src/fhir/index.ts";
import { memoryShardKeys } from "../../../src/identity/shard-keys.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { codeOf, counts, emptied, twoHospitals, until } from "../../support/elsewhere.ts";
import type { TwoHospitals } from "../../support/elsewhere.ts";
import { organisation } from "../../support/founders.ts";
import {
  alcoholDependence,
  MRN,
  observation,
  rootRule,
  treatmentOnly,
} from "../../support/hospital.ts";
import { bytesFor, START } from "../../support/ledger.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import { collect, opened as itemsOf, readable } from "../../support/ward.ts";

let two: TwoHospitals;
const ends: (() => Promise<unknown>)[] = [];
async function open(...given: Parameters<TwoHospitals["open"]>): Promise<Ledger> {
  const hl = await two.open(...given);
  ends.unshift(() => hl.close());
  return hl;
}
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  await two.close();
});

/** A store on disk. */
async function onDisk() {
  const path = await mkdtemp(join(tmpdir(), "healthledger-away-"));
  const storage = await lmdbStorage({ path });
  ends.push(
    () => storage.close(),
    () => rm(path, { recursive: true, force: true }),
  );
  return storage;
}

const asker = async (): Promise<Parameters<Ledger["request"]>[0]> => {
  const keys = await organisation("home");
  return { signer: keys.signer(), agreement: keys.agreement() };
};
const asked = { patient: MRN, purposes: ["TREAT"] };
const witness = { user: "clerk-7", form: "paper", takenAt: START } as const;

const typesIn = async (hl: Ledger): Promise<unknown[]> => {
  const answer = await hl.request(await asker(), asked);
  return (await itemsOf(answer)).map(({ resource }) => resource?.["resourceType"]);
};

/** As FHIR R4 writes it: treatment is permitted, but no Condition. */
const CONSENT = JSON.stringify({
  ...{ resourceType: "Consent", id: "c1", status: "active" },
  identifier: [{ system: "urn:oid:1.2.3", value: "consent-1" }],
  scope: {
    coding: [
      { system: "http://terminology.hl7.org/CodeSystem/consentscope", code: "patient-privacy" },
    ],
  },
  category: [{ coding: [{ system: "http://loinc.org", code: "59284-0" }] }],
  patient: { reference: "Patient/p1" },
  dateTime: "2025-12-01",
  policy: [{ uri: "https://example.org/policy" }],
  provision: {
    type: "permit",
    purpose: [{ system: "http://terminology.hl7.org/CodeSystem/v3-ActReason", code: "TREAT" }],
    provision: [
      {
        type: "deny",
        class: [{ system: "http://hl7.org/fhir/resource-types", code: "Condition" }],
      },
    ],
  },
});

describe("a patient's refusal that is recorded elsewhere", () => {
  it("holds in the member's own answers, with proofs, and after it was opened again", async () => {
    two = await twoHospitals({ awayStorage: await onDisk() });
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    await hl.record(me, observation("o1"));
    await hl.record(me, alcoholDependence("c1"));
    const reading = { dialect: "r4-typed", capacity: "self" } as const;
    await hl.consent(me, fromConsent(CONSENT, reading).directive, { witness });
    expect(await typesIn(hl)).toEqual(["Observation"]);
    const [item] = await itemsOf(await hl.request(await asker(), asked));
    const trust = trustFromGenesis(two.genesis);
    expect(verifyReceipt(item!.receipt, trust)).toMatchObject({ ok: true });
    await hl.close();
    const again = await open();
    expect(await typesIn(again)).toEqual(["Observation"]);
    expect(await readable(again.audit(me))).toHaveLength(3);
    expect((await again.directives(me)).length).toBe(1);
  });

  it("is never overtaken by a disclosure, if it could not be sent at first", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    const patient = memorySigner({ alg: "Ed25519", secret: bytesFor("patient") });
    await hl.record(me, observation("o1"));
    const { id } = await hl.consent(me, treatmentOnly(patient), { witness });
    expect(await typesIn(hl)).toEqual(["Observation"]);
    two.peer.isDown = true;
    const refusal = treatmentOnly(patient, {
      predecessors: [id],
      root: rootRule("deny", {}),
    });
    expect(await codeOf(hl.consent(me, refusal, { witness }))).toBe("ERR_CHAIN_PENDING");
    expect(await codeOf(typesIn(hl))).toBe("ERR_CHAIN_PENDING");
    await hl.close();
    const again = await open();
    expect(await codeOf(typesIn(again))).toBe("ERR_CHAIN_PENDING");
    two.peer.isDown = false;
    await until(two, async () => (await codeOf(typesIn(again))) === "resolved");
    expect(await typesIn(again)).toEqual([]);
  });
});

describe("what else a member elsewhere does", () => {
  it("feeds bundles and NDJSON twice, and has each resource once", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    const lines = [0, 1, 2, 3].map((i) => observation(`n${i}`)).join("\n");
    const bundle = JSON.stringify({
      resourceType: "Bundle",
      type: "transaction",
      entry: [0, 1, 2].map((i) => ({
        fullUrl: `https://ehr.example/Observation/b${i}`,
        resource: JSON.parse(observation(`b${i}`)) as object,
        request: { method: "PUT", url: `Observation/b${i}` },
      })),
    });
    for (let round = 0; round < 2; round++) {
      await hl.recordNdjson([lines], { source: "ehr-1" });
      await hl.recordBundle(me, bundle, { source: "ehr-2" });
    }
    const found = await hl.find({ source: "ehr-1", type: "Observation", id: "n3" });
    expect(found).toHaveLength(1);
    expect(await hl.records(me)).toHaveLength(3);
    expect([...(await counts(two, hl.member)).values()].every((count) => count === 1)).toBe(true);
  });

  it("records once with an idempotency key, although the first call gave up waiting", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    two.peer.isDown = true;
    const once = () => hl.record(me, observation("o1"), { idempotencyKey: "message-1" });
    expect(await codeOf(once())).toBe("ERR_CHAIN_PENDING");
    two.peer.isDown = false;
    const second = await once();
    await emptied(two, hl);
    const current = (await hl.records(me)).filter(({ retracted }) => !retracted);
    expect(current.map(({ record }) => record)).toEqual([second.id]);
  });

  it("merges persons, erases one's data, and forgets nobody else", async () => {
    two = await twoHospitals({ awayStorage: await onDisk() });
    const hl = await open({ shardKeys: memoryShardKeys() });
    const me = await hl.ensureSubject(MRN);
    const other = await hl.ensureSubject({ ...MRN, value: "MRN-2" });
    const { id } = await hl.record(me, observation("o1"));
    const kept = await hl.record(other, observation("o2"));
    await hl.merge(other, me, { reason: "same person" });
    expect(await hl.records(me)).toHaveLength(2);
    const statement = await hl.erase(me, { records: [id], reason: "asked" });
    expect(statement.compacted).toBe("done");
    expect(await codeOf(hl.read(id))).toBe("ERR_RECORD_ERASED");
    expect(new TextDecoder().decode(await hl.read(kept.id))).toBe(observation("o2"));
    expect(await hl.pendingErasures()).toEqual([]);
  });

  it("erases after a restart what it could not send at first", async () => {
    two = await twoHospitals();
    const hl = await open();
    const me = await hl.ensureSubject(MRN);
    const { id } = await hl.record(me, observation("o1"));
    const blobs = await two.awayStorage.blobs!.count();
    two.peer.isDown = true;
    const erase = (by: Ledger) => by.erase(me, { records: [id], reason: "asked" });
    expect(await codeOf(erase(hl))).toBe("ERR_CHAIN_PENDING");
    // Nothing is destroyed before the erase entry is on the ledger.
    expect(new TextDecoder().decode(await hl.read(id))).toBe(observation("o1"));
    expect(await hl.pendingErasures()).toEqual([]);
    await hl.close();
    const again = await open();
    two.peer.isDown = false;
    await emptied(two, again);
    expect(await again.pendingErasures()).toHaveLength(1);
    expect(await codeOf(again.read(id))).toBe("ERR_RECORD_ERASED");
    await again.compact();
    expect(await again.pendingErasures()).toEqual([]);
    expect(await two.awayStorage.blobs!.count()).toBeLessThanOrEqual(blobs);
  });

  it("keeps a large attachment that waits, also if its process had a lane of its own", async () => {
    two = await twoHospitals();
    const hl = await open({ lane: 3 });
    const me = await hl.ensureSubject(MRN);
    const bytes = new Uint8Array(3_000_000).fill(7);
    two.peer.isDown = true;
    const attachments = [{ mediaType: "application/pdf", source: bytes }];
    expect(await codeOf(hl.record(me, observation("o1"), { attachments }))).toBe(
      "ERR_CHAIN_PENDING",
    );
    await hl.close();
    const again = await open({ lane: 3 });
    two.peer.isDown = false;
    await emptied(two, again);
    const [record] = await again.records(me);
    const [attachment] = await again.attachments(record!.record);
    expect(await attachment!.size()).toBe(bytes.length);
    expect(equalBytes(await attachment!.range(0, bytes.length), bytes)).toBe(true);
    expect((await again.verifyBlobs()).missing).toEqual([]);
  });

  it("proposes and enacts changes of members through the home", async () => {
    two = await twoHospitals({ genesis: { threshold: 1 } });
    const hl = await open();
    await hl.ensureSubject(MRN);
    const { governance } = hl;
    const proposal = await governance.propose({ policy: { maxDrift: 70_000 } } as never);
    const approval = await governance.approve(proposal);
    const enacted = await governance.enact(proposal, [approval]);
    expect(enacted.steps).toBe("unchanged");
    expect(hl.chain.state.policy().maxDrift).toBe(70_000);
    expect(await collect((await hl.export()) as never)).not.toEqual([]);
  });
});
