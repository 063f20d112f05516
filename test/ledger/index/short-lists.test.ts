import { describe, expect, it } from "vitest";
import { decode, encode } from "../../../src/codec/dag-cbor.ts";
import { memoryShardKeys } from "../../../src/identity/shard-keys.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import { seeded } from "../../envelope/parties.ts";
import { foundWorld, MRN, observation } from "../../support/hospital.ts";
import { keysIn, tryOpen, valuesOf } from "../../support/vault-copy.ts";

const source = "ehr-1";
const version = (n: number): string =>
  JSON.stringify({
    ...{ resourceType: "Observation", id: "o1", status: "final", code: { text: `value ${n}` } },
    meta: { versionId: String(n) },
    subject: { reference: "Patient/p1" },
  });
const PATIENT = JSON.stringify({ resourceType: "Patient", id: "p1", identifier: [MRN] });

describe("a list of few entries", () => {
  it("has all its entries while it grows out of its head, over each restart", async () => {
    const storage = memoryStorage();
    const world = await foundWorld(storage);
    for (let n = 1; n <= 5; n++) {
      const hl = await world.open();
      const said = await hl.recordNdjson([n === 1 ? `${PATIENT}\n${version(n)}` : version(n)], {
        source,
      });
      expect(said).toMatchObject(n === 1 ? { recorded: 2 } : { recorded: 0, amended: 1 });
      // Older ones are known, whichever are in the head, in a page or in memory only.
      for (let old = 1; old <= n; old++) {
        const again = await hl.recordNdjson([version(old)], { source });
        expect(again).toMatchObject(old === n ? { known: 1 } : { older: 1 });
      }
      const [found, ...others] = await hl.find({ source, type: "Observation", id: "o1" });
      expect(others).toEqual([]);
      const records = await hl.records(found!.subject);
      expect(records.find(({ record }) => record === found!.id)!.history).toHaveLength(n);
      await hl.close();
    }
  });

  it.each([false, true])(
    "gives away nothing erased to who has a copy of the store from before; in a page since: %s",
    async (isMoved) => {
      const storage = memoryStorage();
      const world = await foundWorld(storage);
      const shardKeys = memoryShardKeys();
      const open = (time: number) => world.open({ shardKeys, random: seeded(`time ${time}`) });
      const hl = await open(0);
      const me = await hl.ensureSubject(MRN);
      // With the entry that names the person two: the head of the person's list holds both.
      const gone = await hl.record(me, observation("bp-gone"));
      await hl.close();
      const copy = await valuesOf(storage);
      const before = (await shardKeys.load())!;
      if (isMoved) {
        const moving = await open(1);
        await moving.record(me, observation("bp-kept"));
        await moving.close();
      }
      const erasing = await open(2);
      await erasing.erase(me, { records: [gone.id], reason: "withdrawn" });
      await erasing.close();
      const after = (await shardKeys.load())!;

      const root = copy.find(({ key }) => key[key.length - 1] === 0 && key.length === 23)!;
      const stored = decode(root.value) as { key: Uint8Array; message: Uint8Array };
      const aad = encode(["healthledger/vault/1", hl.id, hl.member]);
      const opened = await world.hospitalA.agreement(stored.key).unwrap(stored.message, aad);
      /** How many values of the copy tell of the record, to who has these shard keys. */
      const telling = (secret: Uint8Array): number => {
        const keys = keysIn(secret, opened);
        return copy.filter(({ key, value }) => {
          const name = key.slice(23);
          if (key[22] !== 1) return false;
          const shard = (name[0]! << 4) | (name[1]! >> 4);
          return [keys[shard]!, ...keys.slice(4096)].some((one) =>
            Buffer.from(tryOpen(one, name, value) ?? []).includes("bp-gone"),
          );
        }).length;
      };
      expect(telling(before)).toBe(1);
      expect(telling(after)).toBe(0);
    },
  );
});
