import { describe, expect, it } from "vitest";
import type { CID } from "../../../src/codec/cid.ts";
import { toHex } from "../../../src/bytes/hex.ts";
import { trustFromGenesis } from "../../../src/chain/trust.ts";
import { verifyReceipt } from "../../../src/chain/verify-receipt.ts";
import { openAnswer, type Answer } from "../../../src/ledger/disclosure/answer.ts";
import type { DisclosureAnswer } from "../../../src/ledger/disclosure/disclose.ts";
import { keyEntry } from "../../support/forge.ts";
import { observation } from "../../support/hospital.ts";
import { signerFor } from "../../support/ledger.ts";
import { opened, ward, type Ward } from "../../support/ward.ts";

async function answered(): Promise<{
  w: Ward;
  answer: DisclosureAnswer;
  open(answer: DisclosureAnswer, change?: Partial<Parameters<typeof openAnswer>[1]>): Answer;
}> {
  const w = await ward();
  await w.permit();
  await w.hl.record(w.me, observation("bp-1"));
  await w.hl.record(w.me, observation("bp-2"));
  const result = await w.hl.disclose(await w.request());
  if (!result.ok) throw new Error(result.reason);
  const open = (answer: DisclosureAnswer, change: Partial<Parameters<typeof openAnswer>[1]> = {}) =>
    openAnswer(answer, {
      chain: w.hl.chain,
      custodian: w.hl.member,
      agreement: w.b.agreement,
      read: (cid: CID) => w.storage.blobs!.get(cid),
      checkpoint: () => w.hl.checkpoint(),
      ...change,
    });
  return { w, answer: result.answer, open };
}

const DECRYPT = { code: "ERR_ENVELOPE_DECRYPT" };
const INVALID = { code: "ERR_ENVELOPE_INVALID" };

describe("openAnswer", () => {
  it("gives every item a receipt that holds offline", async () => {
    const { w, answer, open } = await answered();
    const trust = trustFromGenesis(w.genesis);
    const items = await opened(open(answer));
    expect(items).toHaveLength(2);
    for (const [i, { receipt }] of items.entries()) {
      expect(verifyReceipt(receipt, trust)).toMatchObject({
        ok: true,
        id: answer.items[i]!.entry,
        author: w.hl.member,
      });
    }
    expect(toHex(items[0]!.receipt)).not.toBe(toHex(items[1]!.receipt));
  });

  it("judges a grant by the keys in force when the answer arrived", async () => {
    const { w, answer, open } = await answered();
    const unread = open(answer);
    const { member: actor, id } = w.hl;
    const first = w.hospitalA.signer();
    const second = signerFor("hospital a second", actor);
    await w.write(w.hospitalA, [await keyEntry(id, actor, "add", "sign", second)]);
    await w.write(w.hospitalA, [await keyEntry(id, actor, "retire", "sign", first)]);
    await w.hl.chain.refresh();
    // Whoever has it reads on; whoever brings it now, as a thief of the retired key could, does not.
    expect(await opened(unread)).toHaveLength(2);
    await expect(opened(open(answer))).rejects.toMatchObject(INVALID);
  });

  it("opens for nobody but the requester", async () => {
    const { w, answer, open } = await answered();
    for (const keys of [w.hospitalA, w.institute]) {
      const theirs = open(answer, { agreement: keys.agreement() });
      await expect(opened(theirs)).rejects.toMatchObject(DECRYPT);
    }
  });

  it("refuses what was put together from two items, or from two answers", async () => {
    const { w, answer, open } = await answered();
    const [one, two] = answer.items as [
      DisclosureAnswer["items"][number],
      DisclosureAnswer["items"][number],
    ];
    const later = await w.hl.disclose(await w.request());
    if (!later.ok) throw new Error(later.reason);
    const swaps: Partial<typeof one>[] = [
      { grant: two.grant },
      { header: two.header },
      { envelope: two.envelope },
      { envelope: two.envelope, header: two.header, grant: two.grant },
      { entry: two.entry },
      { place: two.place },
      { place: { ...one.place, height: 0 } },
      { place: { ...one.place, entry: one.place.entry + 1 } },
      { place: { ...one.place, transaction: 7 } },
      // A grant of the same record that rests on another access entry.
      { grant: later.answer.items[0]!.grant },
    ];
    for (const swap of swaps) {
      const forged = { ...answer, items: [{ ...one, ...swap }] };
      await expect(opened(open(forged)), JSON.stringify(Object.keys(swap))).rejects.toMatchObject(
        INVALID,
      );
    }
    await expect(opened(open({ ...answer, access: later.answer.access }))).rejects.toMatchObject(
      INVALID,
    );
    await expect(opened(open(answer, { custodian: w.b.signer.actor }))).rejects.toMatchObject(
      INVALID,
    );
  });

  it("refuses ciphertext, headers and grants with a bit flipped", async () => {
    const { w, answer, open } = await answered();
    const flip = (bytes: Uint8Array, at: number) => {
      const copy = bytes.slice();
      copy[at]! ^= 1;
      return copy;
    };
    const read = async (cid: CID) => {
      const bytes = await w.storage.blobs!.get(cid);
      return bytes && flip(bytes, bytes.length >> 1);
    };
    await expect(opened(open(answer, { read }))).rejects.toMatchObject(INVALID);
    await expect(opened(open(answer, { read: async () => undefined }))).rejects.toMatchObject({
      code: "ERR_ENVELOPE_MISSING",
    });
    const [item] = answer.items;
    for (const name of ["header", "grant"] as const) {
      const bytes = item![name];
      for (let at = 0; at < bytes.length; at += 11) {
        const forged = { ...answer, items: [{ ...item!, [name]: flip(bytes, at) }] };
        await expect(opened(open(forged)), `${name} ${at}`).rejects.toHaveProperty("code");
      }
    }
  });

  it("refuses a record that the custodian moved to an entry of another author", async () => {
    const { w, answer, open } = await answered();
    const b = await w.open({ keys: w.hospitalB, storage: w.storage });
    const person = await b.ensureSubject({ system: "urn:b", value: "1" });
    const { place } = await b.record(person, observation("bp-3"));
    await w.hl.chain.refresh();
    const forged = { ...answer, items: [{ ...answer.items[0]!, place }] };
    await expect(opened(open(forged))).rejects.toMatchObject(INVALID);
  });
});
