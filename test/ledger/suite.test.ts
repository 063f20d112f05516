import { describe, expect, it, vi } from "vitest";
import { randomBytes } from "#crypto";
import { concatBytes } from "../../src/bytes/concat.ts";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { decodeSignedHeader } from "../../src/envelope/header.ts";
import type { SuiteName } from "../../src/envelope/suite.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { foundWorld, observation } from "../support/hospital.ts";
import { collect, texts, ward } from "../support/ward.ts";

const NORMAL = {
  system: "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
  code: "N",
};

/** The suites of all envelopes in a store, and how many have each. */
async function suitesIn({ blobs }: Pick<FullStorage, "blobs">): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for await (const cid of blobs.list()) {
    if (cid.code === 0x55) continue;
    const { suite } = decodeSignedHeader((await blobs.get(cid))!).header;
    counts[suite] = (counts[suite] ?? 0) + 1;
  }
  return counts;
}

describe("openLedger with a suite", () => {
  it.each<[SuiteName, SuiteName]>([
    ["chacha", "aes-gcm"],
    ["aes-gcm", "chacha"],
  ])("seals everything with %s, and reads it when opened with %s", async (suite, other) => {
    const w = await ward({ suite });
    const storage = w.storage as FullStorage;
    await w.permit();
    const bytes = randomBytes(70_000);
    const attachments = [{ mediaType: "image/png", source: bytes }];
    // Nobody but who has seen the image can say how sensitive it is.
    const stamp = { labeller: "the record office", version: "1" };
    const labels = { codes: [NORMAL], stamp };
    const first = await w.hl.record(w.me, observation("bp-1"), {
      ...{ attachments, labels },
      fields: true,
    });
    expect(await texts(await w.ask())).toEqual([observation("bp-1")]);
    // A person, an attested key, a directive, a record, an access.
    expect(await suitesIn(storage)).toEqual({ [suite]: 5 });
    await w.hl.close();

    const again = await w.open({ storage, suite: other, repair: { index: true } });
    const second = await again.amend(first.id, observation("bp-2"));
    expect(await suitesIn(storage)).toEqual({ [suite]: 5, [other]: 1 });
    expect(bytesToUtf8(await again.read(first.id))).toBe(observation("bp-2"));
    const [attachment] = await again.attachments(second.id);
    expect(concatBytes(...(await collect(attachment!.stream())))).toEqual(bytes);
    const [record] = await again.records(w.me);
    expect(record!.history).toHaveLength(2);
    const statement = await again.erase(w.me, { all: true, reason: "asked" });
    expect(statement.erased).toHaveLength(2);
    await again.close();
  });

  it("says which suite it does not know, before it reads anything", async () => {
    const { open } = await foundWorld();
    const suite = "aes-siv" as SuiteName;
    await expect(open({ suite })).rejects.toMatchObject({
      code: "ERR_ENVELOPE_UNSUPPORTED",
      message: expect.stringContaining("aes-siv") as string,
    });
  });

  it("seals with aes-gcm by WebCrypto, and says what it needs where there is neither", async () => {
    vi.resetModules();
    vi.doMock("#crypto", () => import("../../src/crypto/noble.ts"));
    try {
      const { openLedger } = await import("../../src/ledger/open-ledger.ts");
      const { keysFor } = await import("../support/hospital.ts");
      const { memoryStorage } = await import("../../src/storage/memory.ts");
      const { genesis } = await foundWorld();
      const storage = memoryStorage();
      const options = { storage, keys: await keysFor("hospital a"), genesis };
      const hl = await openLedger({ ...options, suite: "aes-gcm" });
      const me = await hl.ensureSubject({ system: "urn:oid:1.2.3", value: "MRN-1" });
      const bytes = randomBytes(1_000_000);
      const attachments = [{ mediaType: "image/png", source: bytes }];
      const stamp = { labeller: "the record office", version: "1" };
      const labels = { codes: [NORMAL], stamp };
      const { id } = await hl.record(me, observation("bp-1"), { attachments, labels });
      expect(await suitesIn(storage)).toEqual({ "aes-gcm": 2 });
      expect(bytesToUtf8(await hl.read(id))).toBe(observation("bp-1"));
      const [attachment] = await hl.attachments(id);
      const pieces = await collect(attachment!.stream());
      expect(Buffer.compare(concatBytes(...pieces), bytes)).toBe(0);
      await hl.close();

      const { crypto } = globalThis;
      vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
      await expect(openLedger({ ...options, suite: "aes-gcm" })).rejects.toMatchObject({
        code: "ERR_ENVELOPE_UNSUPPORTED",
        message: "the suite aes-gcm needs node:crypto or WebCrypto, and neither is available",
      });
      const again = await openLedger(options);
      await again.close();
    } finally {
      vi.unstubAllGlobals();
      vi.doUnmock("#crypto");
      vi.resetModules();
    }
  });
});
