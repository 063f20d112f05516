import { describe, expect, it } from "vitest";
import { randomBytes } from "#crypto";
import { decodeEntry, type SubjectEntry } from "../../src/block/entry.ts";
import type { CID } from "../../src/codec/cid.ts";
import { decodeSignedHeader } from "../../src/envelope/header.ts";
import { indexNames } from "../../src/ledger/index/names.ts";
import { decodeIndexRecord } from "../../src/ledger/index/record.ts";
import { openVault, type Vault } from "../../src/ledger/vault/vault.ts";
import { MRN, observation } from "../support/hospital.ts";
import { collect, revoking, ward, type Ward } from "../support/ward.ts";

interface Lost {
  readonly w: Ward;
  readonly vault: Vault;
  /** Where the revocation stands, and its envelope. */
  readonly place: { readonly height: number; readonly transaction: number; readonly entry: number };
  readonly envelope: CID;
}

/** A permit, then its revocation, indexed and closed. */
async function revoked(): Promise<Lost> {
  const w = await ward();
  await w.hl.record(w.me, observation("bp-1"));
  const first = await w.permit();
  const change = { predecessors: [first] };
  const { place } = await w.hl.consent(w.me, revoking(w.patient, change), { signer: w.patient });
  expect((await w.ask()).count).toBe(0);
  const { block } = await w.hl.chain.readBlock(place.height);
  const bytes = block.transactions[place.transaction]!.entries[place.entry]!;
  const envelope = (decodeEntry(bytes) as SubjectEntry).body;
  await w.hl.close();
  const vault = await openVault({
    hasFiled: async () => false,
    storage: w.storage as Parameters<typeof openVault>[0]["storage"],
    keys: w.hospitalA,
    ledger: w.hl.id,
    actor: w.hl.member,
    random: randomBytes,
  });
  return { w, vault, place, envelope };
}

/** The page of the index where it stands. */
async function pageName({ w, vault }: Lost): Promise<Uint8Array> {
  const stored = await w.storage.state!.get(vault.indexRecordKey);
  const { generation } = decodeIndexRecord(vault, stored!)!;
  return indexNames(vault, generation).page(w.me.local, 0);
}

/** What a store may lose of a revocation, and the error that says so. */
const losses: readonly (readonly [string, string, (lost: Lost) => Promise<void>])[] = [
  ["its header", "ERR_STORAGE_MISSING", ({ w, envelope }) => w.storage.blobs!.delete([envelope])],
  [
    "its ciphertext",
    "ERR_ENVELOPE_MISSING",
    async ({ w, envelope }) => {
      const { header } = decodeSignedHeader((await w.storage.blobs!.get(envelope))!);
      await w.storage.blobs!.delete(header.parts.flatMap(({ data }) => data));
    },
  ],
  [
    "its content key",
    "ERR_STORAGE_MISSING",
    ({ w, vault, envelope }) =>
      w.storage.state!.batch([vault.remove(vault.name("cek", envelope.bytes))]),
  ],
  [
    "its place in the index",
    "ERR_STORAGE_CORRUPT",
    async (lost) => lost.w.storage.state!.batch([lost.vault.remove(await pageName(lost))]),
  ],
];

describe("a revocation of which the store lost", () => {
  for (const [name, code, lose] of losses) {
    it(`${name} is not one that never was: nothing is released`, async () => {
      const lost = await revoked();
      await lose(lost);
      const hl = await lost.w.again();
      await expect(
        hl.request(lost.w.b, { patient: MRN, purposes: ["TREAT"] }),
      ).rejects.toMatchObject({ code });
      const question = { requester: lost.w.b.signer.actor, purposes: ["TREAT"] };
      await expect(hl.decide(lost.w.me, question)).rejects.toMatchObject({ code });
    });
  }

  it("its place in the index is found again when that is built anew", async () => {
    const lost = await revoked();
    await lost.w.storage.state!.batch([lost.vault.remove(await pageName(lost))]);
    const hl = await lost.w.again({ repair: { index: true } });
    expect(await hl.directives(await hl.ensureSubject(MRN))).toHaveLength(2);
    expect((await hl.request(lost.w.b, { patient: MRN, purposes: ["TREAT"] })).count).toBe(0);
  });

  it("its header before anybody read it stops an answer that is under way", async () => {
    const w = await ward();
    await w.hl.record(w.me, observation("bp-1"));
    const predecessors = [await w.permit()];
    const other = await w.again();
    w.traps.before = async () => {
      const before = new Set(await names(w));
      const change = revoking(w.patient, { predecessors });
      await other.consent(w.me, change, { signer: w.patient });
      const fresh = (await collect(w.storage.blobs!.list())).filter((cid) => !before.has(`${cid}`));
      await w.storage.blobs!.delete(fresh);
    };
    await expect(w.ask()).rejects.toMatchObject({ code: "ERR_STORAGE_CORRUPT" });
  });
});

const names = async (w: Ward): Promise<string[]> =>
  (await collect(w.storage.blobs!.list())).map(String);
