import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { randomBytes } from "#crypto";
import { parseRecordId, recordIdBytes, type EntryId } from "../../../src/codec/ids.ts";
import { toRecordId, type RecordId } from "../../../src/codec/ids.ts";
import { toHex } from "../../../src/bytes/hex.ts";
import { bytesToUtf8 } from "../../../src/bytes/utf8.ts";
import { concatBytes } from "../../../src/bytes/concat.ts";
import { decodeSignedHeader } from "../../../src/envelope/header.ts";
import { decodeGrant } from "../../../src/envelope/grant-record.ts";
import type { EraseAll } from "../../../src/ledger/erasure/erase-options.ts";
import { encodeErasure } from "../../../src/ledger/erasure/erasure-entry.ts";
import { memoryOf } from "../../../src/identity/signed-heads.ts";
import { sealEntry } from "../../../src/ledger/entries/filing.ts";
import { StorageError } from "../../../src/errors.ts";
import { indexNames } from "../../../src/ledger/index/names.ts";
import { decodeIndexRecord } from "../../../src/ledger/index/record.ts";
import { openVault } from "../../../src/ledger/vault/vault.ts";
import { openChain } from "../../../src/chain/open-chain.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { FullStorage } from "../../../src/storage/types.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { START } from "../../support/ledger.ts";
import { collect, texts, ward, type Ward } from "../../support/ward.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

async function onDisk(): Promise<{ path: string; inner: FullStorage }> {
  const path = mkdtempSync(join(tmpdir(), "healthledger-erase-"));
  folders.push(path);
  return { path, inner: await lmdbStorage({ path }) };
}

function filesBelow(path: string): string[] {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path).flatMap((name) => filesBelow(join(path, name)));
}

/** Names of the secrets of which a run of bytes stands in any file. */
function found(path: string, secrets: ReadonlyMap<string, Uint8Array>): string[] {
  const files = filesBelow(path).map((file) => readFileSync(file));
  return [...secrets]
    .filter(([, bytes]) => {
      // Pieces, so that a value that is split between pages is found too.
      const pieces: Uint8Array[] = [];
      for (let at = 0; at + 16 <= bytes.length; at += Math.max(16, bytes.length >> 3)) {
        pieces.push(bytes.subarray(at, at + 16));
      }
      return pieces.some((piece) => files.some((file) => file.includes(Buffer.from(piece))));
    })
    .map(([name]) => name);
}

const vaultOf = (w: Ward, storage: FullStorage) =>
  openVault({
    hasFiled: async () => false,
    storage,
    keys: w.hospitalA,
    ledger: w.hl.id,
    actor: w.hl.member,
    random: randomBytes,
  });

/** Every byte that must be gone, as the store holds it, and as it is behind the seal. */
async function secretsOf(w: Ward, storage: FullStorage, id: RecordId) {
  const vault = await vaultOf(w, storage);
  const record = (await w.hl.records(w.me)).find((one) => one.record === id)!;
  const secrets = new Map<string, Uint8Array>();
  for (const [i, item] of record.history.entries()) {
    // Of a header what is its own: names and fields stand in every other one too.
    const { header, signature } = decodeSignedHeader((await storage.blobs.get(item.envelope))!);
    secrets.set(`header ${i}`, header.salt);
    secrets.set(`signature ${i}`, signature);
    for (const part of header.parts) {
      secrets.set(`commitment ${i} ${part.id}`, part.commit);
      for (const cid of part.data) {
        secrets.set(`ciphertext ${i} ${part.id}`, (await storage.blobs.get(cid))!);
      }
    }
    const name = vault.name("cek", item.envelope.bytes);
    secrets.set(`content key ${i}`, (await vault.get(name))!);
    secrets.set(`sealed content key ${i}`, await sealed(storage, name));
    secrets.set(`name of the content key ${i}`, name);
  }
  return secrets;
}

async function sealed(storage: FullStorage, name: Uint8Array): Promise<Uint8Array> {
  const from = new TextEncoder().encode("vault/");
  const to = new TextEncoder().encode("vault0");
  for await (const { key, value } of storage.state.scan({ gte: from, lt: to })) {
    if (toHex(key).endsWith(toHex(name))) return value;
  }
  throw new Error("there is no such value");
}

/** The message of an error and of all that led to it. */
const reasonsOf = (error: unknown): readonly string[] =>
  error instanceof Error ? [error.message, ...reasonsOf(error.cause)] : [];

describe("erase", () => {
  it("leaves no byte of an erased record's keys, header or ciphertext in any file", async () => {
    const { path, inner } = await onDisk();
    const w = await ward({ inner });
    await w.permit();
    const gone = await w.hl.record(w.me, observation("bp-1"));
    await w.hl.amend(gone.id, observation("bp-1", "1.0"));
    await w.hl.relabel(gone.id);
    const kept = await w.hl.record(w.me, observation("bp-2"));
    const result = await w.hl.disclose(await w.request());
    if (!result.ok) throw new Error(result.reason);
    const secrets = await secretsOf(w, inner, gone.id);
    const { message, signature } = decodeGrant(result.answer.items[0]!.grant);
    secrets.set("grant", message);
    secrets.set("signature of the grant", signature);
    expect(secrets.size).toBeGreaterThan(12);
    const there = found(path, secrets);
    // The library never stores content keys in clear, nor grants to others.
    expect(there.filter((name) => name.startsWith("content key"))).toEqual([]);
    expect(there).not.toContain("grant");
    for (const name of ["header 0", "ciphertext 0 content", "sealed content key 0"]) {
      expect(there).toContain(name);
    }
    const statement = await w.hl.erase(w.me, { records: [gone.id], reason: "asked" });
    expect(statement.erased).toHaveLength(3);
    expect(statement.blobs).toBeGreaterThanOrEqual(8);
    expect(found(path, secrets)).toEqual([]);
    expect(await texts(await w.ask())).toEqual([observation("bp-2")]);
    expect(bytesToUtf8(await w.hl.read(kept.id))).toBe(observation("bp-2"));
    await expect(w.hl.read(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    expect(await w.hl.verify()).toMatchObject({ ok: true });
    expect(await w.hl.verifyBlobs()).toMatchObject({ damaged: [] });
    await w.hl.close();
    expect(found(path, secrets)).toEqual([]);
    const again = await w.open({ storage: inner });
    await expect(again.read(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    expect((await again.receipt(gone.entry)).length).toBeGreaterThan(0);
    await again.close();
    await inner.close();
  });

  it("forgets a person: no subject key, no identifier, no link between tags", async () => {
    const { path, inner } = await onDisk();
    const w = await ward({ inner });
    const consent = await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    const kept = await w.hl.record(other, observation("bp-2"));
    const vault = await vaultOf(w, inner);
    const another = await w.again();
    await another.records(w.me);
    await another.close();
    const { generation } = decodeIndexRecord(
      vault,
      (await inner.state.get(vault.indexRecordKey))!,
    )!;
    const all = indexNames(vault, generation);
    const names = [all.subject(w.me.local), all.identifier(MRN.system, MRN.value)];
    const secrets = new Map<string, Uint8Array>();
    for (const [i, name] of names.entries()) {
      secrets.set(`name ${i}`, name);
      secrets.set(`sealed ${i}`, await sealed(inner, name));
      secrets.set(`value ${i}`, (await vault.get(name))!);
    }
    const before = found(path, secrets);
    expect(before).toEqual(["name 0", "sealed 0", "name 1", "sealed 1"]);
    await w.hl.erase(w.me, { all: true, reason: "asked", forgetSubject: true });
    expect(found(path, secrets)).toEqual([]);
    // What he consented to names him too.
    await expect(w.hl.evidence(consent)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    const asked = await w.ask();
    expect([asked.count, asked.decision.outcome]).toEqual([0, "deny"]);
    await expect(w.hl.record(w.me, observation("x"))).rejects.toMatchObject({
      code: "ERR_INPUT_UNKNOWN_SUBJECT",
    });
    const anew = await w.hl.ensureSubject(MRN);
    expect(toHex(anew.local)).not.toBe(toHex(w.me.local));
    expect(bytesToUtf8(await w.hl.read(kept.id))).toBe(observation("bp-2"));
    expect(await w.hl.verify()).toMatchObject({ ok: true });
    await w.hl.close();
    await inner.close();
  });

  it("erases by class: clinical data, then what was accessed, then directives and keys", async () => {
    const w = await ward();
    await w.permit();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    await w.ask();
    const blobs = w.storage.blobs!;
    const clinical = await w.hl.erase(w.me, { all: true, reason: "asked" });
    expect(clinical).toMatchObject({ class: "clinical", erased: [id] });
    expect(await w.audit()).toHaveLength(1);
    expect(await w.hl.directives(w.me)).toHaveLength(1);
    const audit = await w.hl.erase(w.me, { all: true, class: "audit", reason: "ten years on" });
    expect(audit.erased).toHaveLength(1);
    expect(await w.audit()).toEqual([]);
    const directives = await w.hl.erase(w.me, { all: true, class: "directive", reason: "asked" });
    expect(directives.erased).toHaveLength(2);
    expect(await w.hl.directives(w.me)).toEqual([]);
    // What is left are the three erasures' own reports, and who the person is.
    expect(await blobs.count()).toBe(9 + 4);
    expect(await w.hl.verify()).toMatchObject({ ok: true });
    expect((await w.ask()).count).toBe(0);
  });

  it("keeps directives together, for as long as the records that they govern", async () => {
    const w = await ward();
    const id = await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    await expect(
      w.hl.erase(w.me, { class: "directive", records: [id], reason: "x" } as unknown as EraseAll),
    ).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    await expect(
      w.hl.erase(w.me, { all: true, class: "directive", reason: "x" }),
    ).rejects.toMatchObject({
      code: "ERR_INPUT_RETAINED",
      message: expect.stringContaining("records"),
    });
    await expect(
      w.hl.erase(w.me, { all: true, class: "audit", forgetSubject: true, reason: "x" }),
    ).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    await expect(
      w.hl.erase(w.me, { records: [id], forgetSubject: true, reason: "x" } as unknown as EraseAll),
    ).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
  });

  it("names the rule that keeps data, by class and by person, and when it ends", async () => {
    const w = await ward({
      policy: {
        retention: {
          clinical: { keepFor: 1000, rule: "§ 630f BGB" },
          audit: { keepFor: 5000, rule: "45 CFR 164.316" },
        },
      },
    });
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    await w.ask();
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    const theirs = await w.hl.record(other, observation("bp-2"));
    let size = w.hl.chain.size;
    const refused = (message: string) => ({
      code: "ERR_INPUT_RETAINED",
      message: expect.stringContaining(message),
    });
    await expect(w.hl.erase(w.me, { all: true, reason: "x" })).rejects.toMatchObject(
      refused("§ 630f BGB"),
    );
    await expect(w.hl.erase(w.me, { all: true, reason: "x" })).rejects.toMatchObject(
      refused(new Date(START + 1000).toISOString()),
    );
    await expect(
      w.hl.erase(w.me, { all: true, class: "audit", reason: "x" }),
    ).rejects.toMatchObject(refused("164.316"));
    w.clock.now += 1000;
    await w.hl.placeHold(w.me, "case 4711");
    size = w.hl.chain.size;
    await expect(w.hl.erase(w.me, { records: [id], reason: "x" })).rejects.toMatchObject(
      refused("case 4711"),
    );
    expect(w.hl.chain.size).toBe(size);
    // A hold on one person holds nobody else.
    await w.hl.erase(other, { records: [theirs.id], reason: "x" });
    await w.hl.liftHold(w.me);
    await w.hl.erase(w.me, { records: [id], reason: "x" });
    await expect(
      w.hl.erase(w.me, { all: true, class: "audit", reason: "x" }),
    ).rejects.toMatchObject(refused("164.316"));
  });

  it("refuses records that are not this person's", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    const { id } = await w.hl.record(other, observation("bp-1"));
    for (const wrong of [id, toRecordId(randomBytes(32))]) {
      await expect(w.hl.erase(w.me, { records: [wrong], reason: "x" })).rejects.toMatchObject({
        code: "ERR_RECORD_NOT_FOUND",
      });
    }
    expect(bytesToUtf8(await w.hl.read(id))).toBe(observation("bp-1"));
  });

  it("ignores an erase entry of another member that names our records", async () => {
    const w = await ward();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const chain = await openChain({ storage: w.storage, genesis: w.genesis });
    const signer = w.hospitalB.signer();
    const vault = await openVault({
      hasFiled: async () => false,
      storage: w.storage as FullStorage,
      keys: w.hospitalB,
      ledger: chain.ledger,
      actor: signer.actor,
      random: randomBytes,
    });
    const { entry, blobs, state } = await sealEntry(
      {
        chain,
        storage: w.storage as FullStorage,
        vault,
        keys: w.hospitalB,
        signer,
        memory: memoryOf("store", chain.ledger),
        now: () => START,
        random: randomBytes,
        suite: "chacha",
        padding: "stepped",
        auditors: [],
      },
      {
        kind: "erase",
        class: "clinical",
        manifest: { v: 1, op: "erase", local: w.me.local },
        parts: [
          {
            id: "content",
            bytes: encodeErasure({
              class: "clinical",
              targets: [recordIdBytes(id)],
              reason: "malice",
            }),
          },
        ],
      },
    );
    await w.storage.blobs!.put(blobs);
    await w.storage.state!.batch(state);
    await w.write(w.hospitalB, [entry]);
    const hlB = await w.open({ keys: w.hospitalB, storage: w.storage });
    await hlB.records(await hlB.ensureSubject(MRN));
    expect(bytesToUtf8(await w.hl.read(id))).toBe(observation("bp-1"));
    const again = await w.open({ storage: w.storage, repair: { index: true } });
    expect(bytesToUtf8(await again.read(id))).toBe(observation("bp-1"));
  });

  it("tells what was erased from what never was", async () => {
    const w = await ward();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    await w.hl.erase(w.me, { records: [id], reason: "x" });
    await expect(w.hl.read(id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    await expect(w.hl.read(toRecordId(randomBytes(32)))).rejects.toMatchObject({
      code: "ERR_RECORD_NOT_FOUND",
    });
    const other = await w.again({ repair: { index: true } });
    await expect(other.read(id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
  });

  it("lets no amendment outlive the record that is erased at the same time", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const { id, entry } = await w.hl.record(w.me, observation("bp-1"));
    const other = await w.again();
    await other.records(await other.ensureSubject(MRN));
    const late: EntryId[] = [];
    w.traps.before = async () => {
      late.push((await other.amend(id, observation("bp-1", "9.9"))).entry);
    };
    const statement = await w.hl.erase(w.me, { records: [id], reason: "x" });
    expect(statement.erased).toEqual([entry, ...late]);
    expect(await w.hl.records(w.me)).toEqual([]);
    for (const gone of [id, ...late.map(parseRecordId)]) {
      await expect(w.hl.read(gone)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
      await expect(other.read(gone)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    }
  });

  it("takes effect in other handles that had the record in memory", async () => {
    const w = await ward();
    await w.permit();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const other = await w.again();
    expect(await other.records(w.me)).toHaveLength(1);
    await w.hl.erase(w.me, { records: [id], reason: "x" });
    expect(await other.records(w.me)).toEqual([]);
    expect((await other.request(w.b, { patient: MRN, purposes: ["TREAT"] })).count).toBe(0);
    await other.close();
    const third = await w.again();
    expect(await third.records(w.me)).toEqual([]);
  });

  for (const stop of ["delete", "commit", "compact"] as const) {
    it(`is completed at the next start when it stopped before ${stop}`, async () => {
      const { path, inner } = await onDisk();
      let broken = false;
      const fail = async (): Promise<never> => {
        throw new Error("power failure");
      };
      const flaky: FullStorage = {
        ...inner,
        blobs: {
          ...inner.blobs,
          delete: (cids) => (broken && stop === "delete" ? fail() : inner.blobs.delete(cids)),
        },
        commit: (batch, options) =>
          broken && stop === "commit" && batch.append?.chain.includes("/vault/") === true
            ? Promise.reject(new StorageError("ERR_STORAGE_FAILED", "power failure"))
            : inner.commit(batch, options),
        compact: () => (broken ? fail() : inner.compact()),
      };
      const w = await ward({ inner: flaky, settleWithin: 0 });
      await w.permit();
      const gone = await w.hl.record(w.me, observation("bp-1"));
      const kept = await w.hl.record(w.me, observation("bp-2"));
      const secrets = await secretsOf(w, inner, gone.id);
      broken = true;
      const call = w.hl.erase(w.me, { reason: "x", records: [gone.id] });
      if (stop === "compact") await expect(call).resolves.toMatchObject({ compacted: "pending" });
      else
        await expect(call).rejects.toSatisfy((error) => reasonsOf(error).includes("power failure"));
      expect(found(path, secrets)).not.toEqual([]);
      broken = false;
      // As after a crash: nobody closes the first handle.
      const again = await w.open({ storage: inner });
      expect(found(path, secrets)).toEqual([]);
      await expect(again.read(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
      expect(bytesToUtf8(await again.read(kept.id))).toBe(observation("bp-2"));
      expect(await again.records(w.me)).toHaveLength(1);
      await again.close();
      await inner.close();
    });
  }

  it("goes on where an erased record's header is damaged", async () => {
    const w = await ward();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const [record] = await w.hl.records(w.me);
    const { envelope } = record!.head;
    await w.storage.blobs!.delete([envelope]);
    await w.storage.blobs!.put([{ cid: envelope, bytes: concatBytes(Uint8Array.of(0xff)) }]);
    await w.hl.erase(w.me, { records: [id], reason: "x" });
    await expect(w.hl.read(id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    await w.hl.consent(w.me, treatmentOnly(w.patient), { signer: w.patient });
  });

  it("drops the reminder of a break-glass access with its entry", async () => {
    const w = await ward({ breakGlass: { roles: ["emergency"] } });
    await w.hl.record(w.me, observation("bp-1"));
    const answer = await w.ask(w.b, {
      purposes: ["BTG"],
      roles: [{ code: "emergency", attestedBy: w.b.signer.actor }],
      declaration: { reason: "unconscious", until: w.clock.now + 1000 },
    });
    expect(answer.count).toBe(1);
    expect(await collect(w.hl.pendingReviews())).toHaveLength(1);
    await w.hl.erase(w.me, { all: true, class: "audit", reason: "x" });
    expect(await collect(w.hl.pendingReviews())).toEqual([]);
    await expect(w.hl.markReviewed(answer.access)).rejects.toMatchObject({
      code: "ERR_RECORD_NOT_FOUND",
    });
  });
});
