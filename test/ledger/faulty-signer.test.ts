import { beforeAll, describe, expect, it } from "vitest";
import { bytesToUtf8, utf8ToBytes } from "../../src/bytes/utf8.ts";
import type { KeyStore } from "../../src/identity/key-store.ts";
import type { Signer } from "../../src/identity/signer.ts";
import type { Ledger } from "../../src/ledger/ledger.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { foundWorld, MRN, observation, type World } from "../support/hospital.ts";

// An HSM that signs something wrongly now and then must cost one call, never a record, and never the ledger.

/** Keys in an HSM that returns a wrong signature over one kind of structure, while that is named. */
function hsm(keys: KeyStore, wrong: { what?: string }): KeyStore {
  const faulty = (inner: Signer): Signer => ({
    ...inner,
    async sign(bytes) {
      const signature = await inner.sign(bytes);
      const start = utf8ToBytes(`healthledger/${wrong.what}/1\0`);
      const isMeant = start.every((byte, at) => byte === bytes[at]);
      if (isMeant) signature[7]! ^= 1;
      return signature;
    },
  });
  return { ...keys, signer: (...which) => faulty(keys.signer(...which)) };
}

let world: World;
let hl: Ledger;
const wrong: { what?: string } = {};

beforeAll(async () => {
  world = await foundWorld();
  const { genesis, storage, hospitalA, clock } = world;
  hl = await openLedger({ genesis, storage, keys: hsm(hospitalA, wrong), now: () => clock.now });
});

describe("a signer that signs wrongly", () => {
  it.each(["envelope", "transaction", "header"])("over a %s: nothing is filed", async (what) => {
    const subject = await hl.ensureSubject({ ...MRN, value: what });
    const { size } = hl.chain;
    wrong.what = what;
    await expect(hl.record(subject, observation("wrong"))).rejects.toMatchObject({
      code: "ERR_SIGNATURE_INVALID",
    });
    expect(hl.chain.size).toBe(size);
    delete wrong.what;
    const { id } = await hl.record(subject, observation("right"));
    expect(bytesToUtf8(await hl.read(id))).toBe(observation("right"));
    expect(await hl.records(subject)).toHaveLength(1);
    expect((await hl.verify()).ok).toBe(true);
  });
});
