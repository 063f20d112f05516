import { describe, expect, it } from "vitest";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { trustFromGenesis } from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { parseEntryId, parseRecordId, type EntryId, type RecordId } from "../../src/codec/ids.ts";
import { observation, treatmentOnly } from "../support/hospital.ts";
import { collect, opened, ward } from "../support/ward.ts";

const NOT_FOUND = { name: "RecordError", code: "ERR_RECORD_NOT_FOUND" };
const INVALID = { name: "InputError", code: "ERR_INPUT_INVALID" };

/** An id as an application has it that kept it as text. */
const kept = <Id extends string>(id: Id): string =>
  (JSON.parse(JSON.stringify({ id })) as { id: string }).id;
/** Names what it is given as it is, and as it comes back from JSON. */
const asRecords = (id: RecordId): RecordId[] => [id, parseRecordId(kept(id))];
const asEntries = (id: EntryId): EntryId[] => [id, parseEntryId(kept(id))];

describe("ids that calls handed out", () => {
  it("are taken by every call that names a record", async () => {
    const w = await ward();
    const source = new Uint8Array([1, 2, 3]);
    const labels = { codes: [], stamp: { labeller: "officer", version: "1" } };
    const made = await w.hl.record(w.me, observation("bp-1"), {
      attachments: [{ mediaType: "image/png", source }],
    });
    const amended = await w.hl.amend(made.id, observation("bp-1", "2.0"));
    expect(amended.id).toBe(made.id);
    expect(amended.entry).not.toBe(made.entry);
    const [listed] = await w.hl.records(w.me);
    expect(listed!.record).toBe(made.id);
    expect(listed!.head.id).toBe(amended.entry);
    expect(listed!.history.map(({ id }) => id)).toEqual([made.entry, amended.entry]);
    expect(listed!.head.manifest.replaces).toBe(made.entry);

    for (const id of asRecords(listed!.record)) {
      expect(bytesToUtf8(await w.hl.read(id))).toBe(observation("bp-1", "2.0"));
      const [attachment] = await w.hl.attachments(id);
      expect(await attachment!.range(0, 3)).toEqual(source);
      expect(await w.hl.relabel(id, labels)).toMatchObject({ id: made.id, labels });
    }
    for (const entry of [made.entry, ...asEntries(listed!.head.id)]) {
      const receipt = verifyReceipt(await w.hl.receipt(entry), trustFromGenesis(w.genesis));
      expect(receipt).toMatchObject({ ok: true, id: entry, author: w.hl.member });
    }

    await w.permit();
    const [item] = await opened(await w.ask(w.b, { query: { ids: [listed!.record] } }));
    expect(item!.record).toBe(made.id);
    const decided = await w.hl.decide(w.me, { requester: w.b.signer.actor, purposes: ["TREAT"] });
    expect(decided.records.map(({ record }) => record.record)).toEqual([made.id]);

    const other = await w.hl.ensureSubject({ system: "urn:oid:1.2.3", value: "right" });
    const moved = await w.hl.reattribute(listed!.record, other, "the wrong chart");
    expect(moved.id).not.toBe(made.id);
    expect(await w.hl.retract(moved.id, "entered in error")).toMatchObject({ id: moved.id });

    const statement = await w.hl.erase(w.me, {
      records: [parseRecordId(kept(listed!.record))],
      reason: "asked",
    });
    expect(statement.erased).toEqual(
      expect.arrayContaining([made.entry, amended.entry]) as EntryId[],
    );
    await expect(w.hl.read(listed!.record)).rejects.toMatchObject({ code: "ERR_RECORD_ERASED" });
    expect((await w.hl.receipt(statement.id)).length).toBeGreaterThan(0);
  });

  it("are taken by every call that names an entry", async () => {
    const w = await ward({ breakGlass: { roles: ["emergency-physician"] } });
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const witness = { user: "clerk-7", form: "paper" as const, takenAt: w.clock.now };
    const form = { mediaType: "image/png", bytes: new Uint8Array([7]) };
    const directive = treatmentOnly(w.patient);
    const attested = await w.hl.attest(w.me, { actor: w.patient.actor, capacity: "self" });
    const filed = await w.hl.consent(w.me, directive, {
      witness: { ...witness, evidence: [form] },
    });
    const [listed] = await w.hl.directives(w.me);
    expect(listed!.entry).toBe(filed.id);
    for (const entry of asEntries(filed.id)) expect(await w.hl.evidence(entry)).toEqual([form]);
    const after = { ...directive, predecessors: asEntries(filed.id).slice(1) };
    const second = await w.hl.consent(w.me, after, { witness });
    expect((await w.hl.directives(w.me)).at(-1)).toMatchObject({
      entry: second.id,
      directive: { predecessors: [filed.id] },
    });

    const answer = await w.ask(w.b, {
      purposes: ["BTG"],
      roles: [{ code: "emergency-physician", attestedBy: w.b.signer.actor }],
      declaration: { reason: "unconscious", until: w.clock.now + 60_000 },
    });
    const [access] = await w.audit();
    expect(access!.id).toBe(answer.access);
    expect(access!.records.map(({ record }) => record)).toEqual([id]);
    const [pending] = await collect(w.hl.pendingReviews());
    expect(pending!.id).toBe(answer.access);
    await w.hl.markReviewed(parseEntryId(kept(pending!.id)));
    expect(await collect(w.hl.pendingReviews())).toEqual([]);

    for (const entry of [attested, filed.id, second.id, answer.access]) {
      expect((await w.hl.receipt(entry)).length).toBeGreaterThan(0);
    }
    await w.hl.erase(w.me, { class: "audit", accesses: [answer.access], reason: "asked" });
    expect(await w.audit()).toEqual([]);
    expect(bytesToUtf8(await w.hl.read(id))).toBe(observation("bp-1"));
  });
});

describe("ids of another form or kind", () => {
  it("are refused by every call that names a record", async () => {
    const w = await ward();
    const { id } = await w.hl.record(w.me, observation("bp-1"));
    const { entry } = await w.hl.amend(id, observation("bp-1", "2.0"));
    const consent = await w.permit();
    const calls = (wrong: RecordId): Promise<unknown>[] => [
      w.hl.read(wrong),
      w.hl.attachments(wrong),
      w.hl.relabel(wrong, null),
      w.hl.retract(wrong, "x"),
      w.hl.reattribute(wrong, w.me, "x"),
      w.hl.amend(wrong, observation("x")),
      w.hl.erase(w.me, { records: [wrong], reason: "x" }),
    ];
    const { size } = w.hl.chain;
    for (const wrong of [id.toUpperCase(), id.slice(1), `${id}0`, new Uint8Array(32), null]) {
      for (const call of calls(wrong as RecordId)) {
        await expect(call).rejects.toMatchObject({
          ...INVALID,
          message: expect.stringMatching(
            /a record's id must be a string of 64 lower-case hexadecimal/,
          ),
        });
      }
    }
    // A version that is not the first names no record, though its entry is one of it.
    for (const call of calls(entry as string as RecordId)) {
      await expect(call).rejects.toMatchObject(NOT_FOUND);
    }
    const [first, ...rest] = calls(consent as string as RecordId).reverse();
    await expect(first).rejects.toMatchObject(NOT_FOUND);
    for (const call of rest) {
      await expect(call).rejects.toMatchObject({ code: "ERR_RECORD_NOT_FOUND" });
    }
    expect(w.hl.chain.size).toBe(size);
    expect(bytesToUtf8(await w.hl.read(id))).toBe(observation("bp-1", "2.0"));
  });

  it("are refused by every call that names an entry", async () => {
    const w = await ward();
    const { id, entry } = await w.hl.record(w.me, observation("bp-1"));
    await w.permit();
    const calls = (wrong: EntryId): Promise<unknown>[] => [
      w.hl.receipt(wrong),
      w.hl.evidence(wrong),
      w.hl.markReviewed(wrong),
      w.hl.giveUp([wrong], { reason: "x" }),
      w.hl.erase(w.me, { class: "audit", accesses: [wrong], reason: "x" }),
      w.hl.consent(w.me, treatmentOnly(w.patient, { predecessors: [wrong] }), {
        signer: w.patient,
      }),
    ];
    const { size } = w.hl.chain;
    for (const wrong of [entry.toUpperCase(), entry.slice(1), new Uint8Array(32), undefined]) {
      for (const call of calls(wrong as EntryId)) {
        await expect(call).rejects.toMatchObject({
          ...INVALID,
          message: expect.stringMatching(
            /an entry's id must be a string of 64 lower-case hexadecimal/,
          ),
        });
      }
    }
    await expect(w.hl.evidence(entry)).rejects.toMatchObject({ code: "ERR_RECORD_NOT_FOUND" });
    await expect(w.hl.markReviewed(entry)).rejects.toMatchObject(NOT_FOUND);
    await expect(
      w.hl.erase(w.me, { class: "audit", accesses: [entry], reason: "x" }),
    ).rejects.toMatchObject(NOT_FOUND);
    expect(w.hl.chain.size).toBe(size);
    expect(bytesToUtf8(await w.hl.read(id))).toBe(observation("bp-1"));
  });
});
