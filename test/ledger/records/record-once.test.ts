import { describe, expect, it } from "vitest";
import { StorageError } from "../../../src/errors.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { MRN, observation } from "../../support/hospital.ts";
import { texts, ward, type Ward } from "../../support/ward.ts";

const key = { idempotencyKey: "message-1" };
const current = async ({ hl, me }: Ward) =>
  (await hl.records(me)).filter(({ retracted }) => !retracted).map(({ record }) => record);

describe("record with an idempotency key", () => {
  it("records once, and gives what it recorded", async () => {
    const w = await ward();
    await w.permit();
    const first = await w.hl.record(w.me, observation("1"), key);
    const { size } = w.hl.chain;
    expect(await w.hl.record(w.me, observation("1"), key)).toEqual(first);
    // By another process, and by one that has forgotten its index.
    for (const repair of [{}, { index: true }]) {
      const other = await w.again({ repair });
      expect(await other.record(w.me, observation("1"), key)).toEqual(first);
    }
    expect(w.hl.chain.size).toBe(size);
    expect(await current(w)).toEqual([first.id]);
    expect(await texts(await w.ask())).toEqual([observation("1")]);
  });

  it("records once when it is called at once", async () => {
    const w = await ward();
    const all = await Promise.all([1, 2, 3, 4].map(() => w.hl.record(w.me, observation("1"), key)));
    expect(new Set(all.map(({ entry }) => entry)).size).toBe(1);
    expect(await w.hl.records(w.me)).toHaveLength(1);
  });

  it("refuses another text, and other attachments", async () => {
    const w = await ward();
    const attachments = [{ mediaType: "image/png", source: Uint8Array.of(1) }];
    await w.hl.record(w.me, observation("1"), key);
    const withKey = { idempotencyKey: "message-2", attachments };
    const second = await w.hl.record(w.me, observation("2"), withKey);
    expect(await w.hl.record(w.me, observation("2"), withKey)).toEqual(second);
    for (const again of [
      () => w.hl.record(w.me, observation("2"), key),
      () => w.hl.record(w.me, observation("1", "107.5"), key),
      () => w.hl.record(w.me, observation("1"), { ...key, attachments }),
      () => w.hl.record(w.me, observation("2"), { idempotencyKey: "message-2" }),
    ]) {
      await expect(again()).rejects.toMatchObject({ code: "ERR_RECORD_CONFLICT" });
    }
    expect(await current(w)).toHaveLength(2);
  });

  it("knows a key for one person only, and no key for none", async () => {
    const w = await ward();
    const other = await w.hl.ensureSubject({ ...MRN, value: "other" });
    const first = await w.hl.record(w.me, observation("1"), key);
    const second = await w.hl.record(other, observation("1"), key);
    expect(second.id).not.toBe(first.id);
    await w.hl.record(w.me, observation("1"));
    expect(await current(w)).toHaveLength(2);
  });

  it("gives the first version, whatever was done to the record since", async () => {
    const w = await ward();
    const first = await w.hl.record(w.me, observation("1"), key);
    await w.hl.amend(first.id, observation("1", "1.0"));
    expect(await w.hl.record(w.me, observation("1"), key)).toEqual(first);
    await w.hl.retract(first.id, "a mistake");
    expect(await w.hl.record(w.me, observation("1"), key)).toEqual(first);
    expect(await current(w)).toEqual([]);
    await w.hl.erase(w.me, { records: [first.id], reason: "asked for" });
    const anew = await w.hl.record(w.me, observation("1"), key);
    expect(await current(w)).toEqual([anew.id]);
  });

  it.each([
    ["the same", observation("1"), undefined],
    ["something else", observation("2"), "ERR_RECORD_CONFLICT"],
  ])("lets the first of two processes win with %s", async (_, text, code) => {
    const w = await ward();
    await w.permit();
    const other = await w.again();
    await other.records(w.me);
    let first: unknown;
    let seen: unknown;
    w.traps.before = async () => {
      first = await other.record(w.me, observation("1"), key);
      // Nor are there two for anybody who looks before this process does.
      w.traps.after = async () => {
        const { length } = (await other.records(w.me)).filter(({ retracted }) => !retracted);
        seen = length;
      };
    };
    const second = w.hl.record(w.me, text, key);
    if (code === undefined) expect(await second).toEqual(first);
    else await expect(second).rejects.toMatchObject({ code });
    expect(seen).toBe(1);
    const { id } = first as { id: never };
    expect(await current(w)).toEqual([id]);
    expect(await texts(await w.ask())).toEqual([observation("1")]);
    // Erasing the record must not bring back what was filed twice.
    await w.hl.erase(w.me, { records: [id], reason: "asked for" });
    expect(await current(w)).toEqual([]);
  });

  it.each(["", "k".repeat(257), "a\0", 1])("refuses the key %o", async (idempotencyKey) => {
    const w = await ward();
    await expect(
      w.hl.record(w.me, observation("1"), { idempotencyKey: idempotencyKey as string }),
    ).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    expect(await w.hl.records(w.me)).toEqual([]);
  });

  it("never takes a key for unused because the store lost something", async () => {
    const inner = memoryStorage();
    const w = await ward({ inner });
    const first = await w.hl.record(w.me, observation("1"), key);
    await w.hl.close();
    const all: { key: Uint8Array; value: Uint8Array }[] = [];
    const everything = { gte: Uint8Array.of(0), lt: new Uint8Array(64).fill(0xff) };
    for await (const row of inner.state.scan(everything)) all.push(row);
    let refused = 0;
    for (const row of all) {
      await inner.state.batch([{ key: row.key, value: null }]);
      try {
        const hl = await w.again();
        expect((await hl.record(w.me, observation("1"), key)).id).toBe(first.id);
        await hl.close();
      } catch (error) {
        if (!(error instanceof Error && "code" in error)) throw error;
        if (error instanceof StorageError) refused++;
      }
      await inner.state.batch([row]);
    }
    expect(refused).toBeGreaterThan(0);
  });
});
