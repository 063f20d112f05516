import { describe, expect, it } from "vitest";
import { decodeEntry, type SubjectEntry } from "../../../src/block/entry.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { collect, readable, texts, ward, type Ward } from "../../support/ward.ts";

const OTHER = { ...MRN, value: "MRN-2" };

/** A ward whose patient has a record, a permit and an alias with hospital B. */
async function agreed(options: Parameters<typeof ward>[0] = {}) {
  const w = await ward(options);
  await w.hl.record(w.me, observation("bp-1"));
  await w.permit();
  const own = { with: w.b.signer.actor };
  return { w, own, alias: await w.hl.alias(w.me, own) };
}

/** What an asker is told, without what differs from ask to ask. */
async function told(w: Ward, ...asking: Parameters<Ward["ask"]>): Promise<object> {
  const { decision, count } = await w.ask(...asking);
  const { outcome, reasons, obligations } = decision;
  return { outcome, reasons, obligations, count };
}

const unknown = (w: Ward) => told(w, w.b, { patient: { ...MRN, value: "nobody's" } });

describe("an alias", () => {
  it("names the person for the member that it is for, by 128 random bits", async () => {
    const { w, own, alias } = await agreed();
    expect(alias.system).toBe("urn:healthledger:alias");
    expect(alias.value).toMatch(/^[0-9a-f]{32}$/);
    expect(await texts(await w.ask(w.b, { patient: alias }))).toEqual([observation("bp-1")]);
    expect(await readable(w.hl.audit(w.me))).toHaveLength(1);
    // One for each person and member.
    expect(await w.hl.alias(w.me, own)).toEqual(alias);
    const other = await w.hl.ensureSubject(OTHER);
    expect(await w.hl.alias(other, own)).not.toEqual(alias);
    expect(await w.hl.alias(w.me, { with: w.c.signer.actor })).not.toEqual(alias);
  });

  it("is told apart from nobody's number by no third member, nor is a forged one", async () => {
    const { w, alias } = await agreed();
    const nobody = await unknown(w);
    expect(await told(w, w.c, { patient: alias })).toEqual(nobody);
    const last = alias.value.endsWith("0") ? "1" : "0";
    for (const value of [
      alias.value.slice(0, -1) + last,
      alias.value.toUpperCase(),
      alias.value.slice(1),
    ].filter((one) => one !== alias.value)) {
      expect(await told(w, w.b, { patient: { ...alias, value } }), value).toEqual(nobody);
    }
    // Its value under another system names nobody either.
    const patient = { ...alias, system: MRN.system };
    expect(await told(w, w.b, { patient })).toEqual(nobody);
    expect(await readable(w.hl.audit(w.me))).toEqual([]);
  });

  it("stays with an index that is built anew, and is in clear nowhere", async () => {
    const { w, alias } = await agreed();
    const all = await collect(w.hl.follow({ until: w.hl.chain.size, kinds: ["link"] }));
    expect(Object.keys(decodeEntry(all.at(-1)!.bytes)).sort()).toEqual([
      "body",
      "kind",
      "salt",
      "v",
    ]);
    for (const { bytes } of await collect(w.hl.follow({ until: w.hl.chain.size }))) {
      expect(Buffer.from(bytes).toString("latin1")).not.toContain(alias.value);
      expect(Buffer.from(bytes).toString("hex")).not.toContain(alias.value);
    }
    await w.hl.close();
    const hl = await w.again({ repair: { index: true } });
    const answer = await hl.request(w.b, { patient: alias, purposes: ["TREAT"] });
    expect(answer.count).toBe(1);
  });

  it("ends when it is withdrawn, and can be accepted again", async () => {
    const { w, own, alias } = await agreed();
    await w.hl.withdrawAlias(alias, own);
    expect(await told(w, w.b, { patient: alias })).toEqual(await unknown(w));
    await expect(w.hl.withdrawAlias(alias, own)).rejects.toMatchObject({
      code: "ERR_RECORD_NOT_FOUND",
    });
    const next = await w.hl.alias(w.me, own);
    expect(next).not.toEqual(alias);
    await w.hl.acceptAlias(w.me, alias, own);
    for (const patient of [alias, next]) expect((await w.ask(w.b, { patient })).count).toBe(1);
  });

  it("ends when the person is forgotten", async () => {
    const { w, own, alias } = await agreed();
    await w.hl.erase(w.me, { all: true, forgetSubject: true, reason: "asked for" });
    expect(await told(w, w.b, { patient: alias })).toEqual(await unknown(w));
    await expect(w.hl.alias(w.me, own)).rejects.toMatchObject({
      code: "ERR_INPUT_UNKNOWN_SUBJECT",
    });
  });

  it("is not accepted for another person, unless the two are joined", async () => {
    const { w, own, alias } = await agreed();
    const other = await w.hl.ensureSubject(OTHER);
    await expect(w.hl.acceptAlias(other, alias, own)).rejects.toMatchObject({
      code: "ERR_RECORD_CONFLICT",
    });
    expect((await w.ask(w.b, { patient: alias })).count).toBe(1);
    await w.hl.record(other, observation("bp-2"));
    await w.hl.merge(other, w.me, { reason: "same papers" });
    await w.hl.acceptAlias(other, alias, own);
    expect(await texts(await w.ask(w.b, { patient: alias }))).toHaveLength(2);
  });

  it("is the first on the ledger's where two processes accept one for two persons", async () => {
    const { w, own, alias } = await agreed();
    await w.hl.withdrawAlias(alias, own);
    const other = await w.hl.ensureSubject(OTHER);
    const hl = await w.again();
    // Another process accepts it just before the entry of this one is written.
    w.traps.before = async () => hl.acceptAlias(other, alias, own);
    await expect(w.hl.acceptAlias(w.me, alias, own)).rejects.toMatchObject({
      code: "ERR_RECORD_CONFLICT",
    });
    expect((await w.ask(w.b, { patient: alias })).count).toBe(0);
  });

  it("refuses requests by it while an entry is lost that may have ended it", async () => {
    const { w, own, alias } = await agreed();
    await w.hl.withdrawAlias(alias, own);
    const { block } = await w.hl.chain.readBlock(w.hl.chain.size - 1);
    const ended = decodeEntry(block.transactions[0]!.entries[0]!) as SubjectEntry;
    await w.hl.close();
    await w.storage.blobs!.delete([ended.body]);
    const hl = await w.again({ repair: { index: true } });
    await expect(hl.request(w.b, { patient: alias, purposes: ["TREAT"] })).rejects.toMatchObject({
      code: "ERR_STORAGE_CORRUPT",
    });
  });

  it("is never a person's identifier", async () => {
    const { w, alias, own } = await agreed();
    const invalid = { code: "ERR_INPUT_INVALID" };
    await expect(w.hl.ensureSubject(alias)).rejects.toMatchObject(invalid);
    await expect(w.hl.findSubject(alias)).rejects.toMatchObject(invalid);
    await expect(w.hl.identify(w.me, [alias])).rejects.toMatchObject(invalid);
    for (const one of [MRN, { ...alias, value: "x" }, { ...alias, value: 7 }, null]) {
      await expect(w.hl.acceptAlias(w.me, one as never, own)).rejects.toMatchObject(invalid);
    }
    for (const member of [w.hl.member, "did:key:nobody", undefined]) {
      const options = { with: member as string };
      await expect(w.hl.alias(w.me, options), member).rejects.toMatchObject(invalid);
    }
  });

  it("names the one whom it was filed for alone, once two are parted", async () => {
    const { w, own, alias } = await agreed();
    const other = await w.hl.ensureSubject(OTHER);
    await w.hl.record(other, observation("bp-2"));
    const merge = await w.hl.merge(other, w.me, { reason: "same papers" });
    await w.hl.acceptAlias(other, alias, own);
    expect((await w.ask(w.b, { patient: alias })).count).toBe(2);
    await w.hl.unmerge(merge, { reason: "they are two" });
    expect(await texts(await w.ask(w.b, { patient: alias }))).toEqual([observation("bp-1")]);
    await expect(w.hl.acceptAlias(other, alias, own)).rejects.toMatchObject({
      code: "ERR_RECORD_CONFLICT",
    });
  });

  it("names nobody once the one whom it was filed for is forgotten, whoever was joined with them", async () => {
    const { w, own, alias } = await agreed();
    const other = await w.hl.ensureSubject(OTHER);
    await w.hl.record(other, observation("bp-2"));
    await w.hl.merge(other, w.me, { reason: "same papers" });
    await w.hl.acceptAlias(other, alias, own);
    await w.hl.erase(w.me, { all: true, forgetSubject: true, reason: "asked for" });
    expect(await told(w, w.b, { patient: alias })).toEqual(await unknown(w));
  });
});
