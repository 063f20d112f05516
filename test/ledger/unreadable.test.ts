import { describe, expect, it } from "vitest";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import {
  encodeAccess,
  decodeAccess,
  type AccessContent,
} from "../../src/ledger/disclosure/access.ts";
import { openOwn } from "../../src/ledger/entries/own-envelope.ts";
import { contextOf, fileAs } from "../support/by-hand.ts";
import { MRN, observation } from "../support/hospital.ts";
import { collect, ward, type Ward } from "../support/ward.ts";

/** The content of the patient's first access entry. */
async function accessOf(w: Ward): Promise<AccessContent> {
  const [access] = await w.audit();
  const context = await contextOf(w);
  for (let height = 0; height < context.chain.size; height++) {
    const { block } = await context.chain.readBlock(height);
    for (const { entries } of block.transactions) {
      for (const bytes of entries) {
        const { kind, body } = decode(bytes) as { kind: string; body: never };
        if (kind !== "access") continue;
        const opened = await openOwn(context, {
          ...{ kind, envelope: body, height },
          parts: ["content"],
        });
        return decodeAccess(opened!.get("content")!);
      }
    }
  }
  throw new Error(`no access ${access!.id}`);
}

describe("what was written wrong", () => {
  it("is named by an audit, which goes on", async () => {
    const w = await ward();
    await w.permit();
    await w.hl.record(w.me, observation("bp-1"));
    await w.ask();
    const good = await accessOf(w);
    const nul = (text: string) => "\0".repeat(text.length);
    const wrong: readonly Uint8Array[] = [
      encodeAccess({ ...good, action: nul(good.action) }),
      encodeAccess({ ...good, purposes: good.purposes.map(nul) }),
      encodeAccess({
        ...good,
        items: good.items.map((one) => ({ ...one, outcome: "grant" as never })),
      }),
      encodeAccess({ ...good, items: good.items.map((one) => ({ ...one, ground: 99 })) }),
      encode({ v: 1, nothing: true }),
      Uint8Array.of(0xa1, 0x61),
    ];
    for (const content of wrong) await fileAs(w, "access", content);
    await w.ask();
    const audit = await collect(w.hl.audit(w.me));
    expect(audit.map(({ unreadable }) => unreadable !== undefined)).toEqual([
      ...[false, true, true, true, true, true, true, false],
    ]);
    for (const item of audit.slice(1, 7)) {
      expect(item.id).toMatch(/^[0-9a-f]{64}$/);
      expect(item.unreadable).toMatch(/^ERR_ENCODING_/);
    }
    const rebuilt = await w.again({ repair: { index: true } });
    expect(await collect(rebuilt.audit(w.me))).toHaveLength(8);
  });

  it("releases nothing by other permits where it is a directive, and names it", async () => {
    const w = await ward();
    await w.permit();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    expect((await w.ask()).count).toBe(1);
    const { directive } = (await w.hl.directives(w.me))[0]!;
    const bound = { ledger: w.hl.id, about: new Uint8Array(32) };
    const sig = { ...bound, key: new Uint8Array(32), alg: "Ed25519", sig: new Uint8Array(64) };
    const lost = encode({ directive: encode({ ...directive, lineage: "\0\0\0" }), ...sig });
    await fileAs(w, "consent", lost);
    const refusal = {
      code: "ERR_STORAGE_CORRUPT",
      message: expect.stringMatching(/the consent entry [0-9a-f]{64} cannot be read/),
    };
    await expect(w.ask()).rejects.toMatchObject(refusal);
    await expect(w.hl.directives(w.me)).rejects.toMatchObject(refusal);
    const question = { requester: w.b.signer.actor, purposes: ["TREAT"] };
    await expect(w.hl.decide(w.me, question)).rejects.toMatchObject(refusal);
    // What is no question of consent goes on, and so does everybody else.
    expect(await w.hl.records(w.me)).toHaveLength(1);
    await w.hl.read(id);
    await w.permit({ lineage: "another" });
    const other = { ...MRN, value: "other" };
    await w.hl.ensureSubject(other);
    expect((await w.ask(w.b, { patient: other })).count).toBe(0);
  });
});
