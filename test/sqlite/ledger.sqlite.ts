import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import type { RecordId } from "../../src/codec/ids.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { decodeSignedHeader } from "../../src/envelope/header.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { surviveForeignRecords } from "../support/foreign-record.ts";
import { MRN, observation } from "../support/hospital.ts";
import { texts, ward, type Ward } from "../support/ward.ts";
import { folder, openAt } from "./subject.ts";

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function onDisk(): Promise<{ path: string; inner: FullStorage }> {
  const { path, remove } = await folder();
  ends.push(remove);
  const file = join(path, "ledger.db");
  return { path: file, inner: await openAt(file) };
}

/** Salts, signatures and ciphertext of a record's envelopes. */
async function secretsOf(w: Ward, storage: FullStorage, id: RecordId): Promise<Uint8Array[]> {
  const secrets: Uint8Array[] = [];
  const record = (await w.hl.records(w.me)).find((one) => one.record === id);
  for (const { envelope } of record!.history) {
    const { header, signature } = decodeSignedHeader((await storage.blobs.get(envelope))!);
    secrets.push(header.salt, signature);
    for (const part of header.parts) {
      for (const cid of part.data) secrets.push((await storage.blobs.get(cid))!);
    }
  }
  return secrets;
}

/** How many of the secrets stand in any of the database's files. */
function found(path: string, secrets: readonly Uint8Array[]): number {
  const files = ["", "-wal", "-shm", "-journal"].map((end) => path + end).filter(existsSync);
  const content = execFileSync("cat", files, { maxBuffer: 1 << 30 });
  return secrets.filter((secret) => content.includes(Buffer.from(secret.subarray(0, 16)))).length;
}

describe("a ledger on SQLite", () => {
  it("stops at a foreign record, and goes on in a copy without it", async () => {
    await surviveForeignRecords(async () => {
      const { inner } = await onDisk();
      ends.push(() => inner.close());
      return inner;
    });
  });

  it("records, answers, audits, erases, and is the same when opened again", async () => {
    const { path, inner } = await onDisk();
    const w = await ward({ inner });
    await w.permit();
    const kept = await w.hl.record(w.me, observation("bp-1"));
    const gone = await w.hl.record(w.me, observation("bp-2"));
    await w.hl.amend(gone.id, observation("bp-2", "1.0"));
    expect((await texts(await w.ask())).sort()).toEqual([
      observation("bp-1"),
      observation("bp-2", "1.0"),
    ]);
    expect(await w.audit()).toHaveLength(1);
    const secrets = await secretsOf(w, inner, gone.id);
    expect(secrets.length).toBeGreaterThanOrEqual(8);
    expect(found(path, secrets)).toBe(secrets.length);
    const statement = await w.hl.erase(w.me, { records: [gone.id], reason: "asked" });
    expect(statement.erased).toHaveLength(2);
    expect(found(path, secrets)).toBe(0);
    expect(await w.hl.verify()).toMatchObject({ ok: true });
    await w.hl.checkpoint();
    await w.hl.close();
    await inner.close();

    const again = await openAt(path);
    const hl = await w.open({ storage: again });
    const me = await hl.ensureSubject(MRN);
    expect(bytesToUtf8(await hl.read(kept.id))).toBe(observation("bp-1"));
    await expect(hl.read(gone.id)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    await hl.record(me, observation("bp-3"));
    const answer = await hl.request(w.b, { patient: MRN, purposes: ["TREAT"] });
    expect((await texts(answer)).sort()).toEqual([observation("bp-1"), observation("bp-3")]);
    expect(await hl.verify()).toMatchObject({ ok: true });
    expect(await hl.verifyBlobs()).toMatchObject({ damaged: [] });
    await hl.close();
    await again.close();
  });
});
