import { describe, expect, it } from "vitest";
import { bytesToUtf8 } from "../../src/bytes/utf8.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { encodeGenesis, decodeGenesis } from "../../src/block/genesis.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { memoryKeys } from "../../src/identity/key-store.ts";
import { memoryShardKeys } from "../../src/identity/shard-keys.ts";
import { whyReadOnly } from "../../src/ledger/read-only.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import type { Role } from "../../src/block/member.ts";
import { foundWorld, keysFor, MRN, observation, custodianOf } from "../support/hospital.ts";
import { keyEntry, memberEntry } from "../support/forge.ts";
import { bytesFor } from "../support/ledger.ts";
import { collect, ward } from "../support/ward.ts";

describe("openLedger, for a member that cannot write", () => {
  async function founded(roles: readonly Role[]) {
    const world = await foundWorld();
    const genesis = decodeGenesis(world.genesis);
    const keys = await keysFor("clinic");
    const member = await describeMember(
      { sign: [keys.signer()], agree: [keys.agreement()] },
      roles,
      genesis.nonce,
    );
    const members = [...genesis.members, member];
    return { world, keys, genesis: encodeGenesis({ ...genesis, members }) };
  }

  for (const [what, roles, why] of [
    ["a custodian that is no sequencer", ["custodian"], "not a sequencer"],
    ["a sequencer that is no custodian", ["sequencer"], "not a custodian"],
    ["an auditor", ["auditor"], "not a custodian"],
  ] as const) {
    it(`says so of ${what}, and opens it to read`, async () => {
      const { world, keys, genesis } = await founded(roles);
      const storage = memoryStorage();
      const writer = await world.open({ storage, genesis });
      const patient = await writer.ensureSubject(MRN);
      await writer.record(patient, observation("bp-1"));
      await expect(world.open({ storage, keys, genesis })).rejects.toMatchObject({
        code: "ERR_CHAIN_READ_ONLY",
        message: expect.stringContaining(why),
      });
      const reader = await world.open({ storage, keys, genesis, readOnly: true });
      expect(await reader.verify()).toMatchObject({ ok: true, size: writer.chain.size });
      expect(await reader.findSubject(MRN)).toBeUndefined();
      const refused = { code: "ERR_CHAIN_READ_ONLY", message: expect.stringContaining(why) };
      await expect(reader.ensureSubject(MRN)).rejects.toMatchObject(refused);
      await expect(reader.record(patient, observation("bp-2"))).rejects.toMatchObject(refused);
      await expect(reader.disclose(new Uint8Array(1))).rejects.toMatchObject(refused);
      expect(reader.chain.size).toBe(writer.chain.size);
    });
  }

  it("says so of a stranger", async () => {
    const world = await foundWorld();
    const keys = memoryKeys();
    for (const use of ["sign", "agree"] as const) await keys.generate({ use });
    await expect(world.open({ keys })).rejects.toMatchObject({
      code: "ERR_CHAIN_READ_ONLY",
      message: expect.stringContaining("not a member"),
    });
  });

  it("says so of a removed member and of a retired signing key", async () => {
    const w = await ward();
    const second = memoryKeys();
    const { actor } = w.hospitalA.signer();
    await second.add({ use: "sign", secret: bytesFor("second"), actor });
    const { id } = w.hl;
    await w.write(w.hospitalA, [await keyEntry(id, actor, "add", "sign", second.signer())]);
    await w.write(w.hospitalA, [await keyEntry(id, actor, "retire", "sign", w.hospitalA.signer())]);
    await w.hl.chain.refresh();
    await expect(w.open({ keys: w.hospitalA })).rejects.toMatchObject({
      code: "ERR_CHAIN_READ_ONLY",
      message: expect.stringContaining("not in force"),
    });
    const remove = [{ op: "remove", actor }] as const;
    const approvers = [w.hospitalB.signer(), w.institute.signer()];
    await w.write(w.hospitalB, [await memberEntry(id, remove, approvers)]);
    await expect(w.open({ keys: w.hospitalA })).rejects.toMatchObject({
      code: "ERR_CHAIN_READ_ONLY",
      message: expect.stringContaining("removed"),
    });
  });

  it("says so of one whose agreement keys are not on the ledger, or ended", async () => {
    const w = await ward();
    const none = { code: "ERR_CHAIN_READ_ONLY", message: expect.stringContaining("agreement key") };
    const keys = memoryKeys();
    const { actor } = w.hospitalA.signer();
    await keys.add({ use: "sign", secret: bytesFor("hospital a sign"), actor });
    await keys.add({ use: "agree", secret: bytesFor("not filed"), actor });
    await expect(w.open({ keys })).rejects.toMatchObject(none);
    const { id } = w.hl;
    await w.write(w.hospitalA, [
      await keyEntry(id, actor, "retire", "agree", w.hospitalA.agreement()),
    ]);
    await expect(w.open({ keys: w.hospitalA })).rejects.toMatchObject(none);
    // A newer one that is not filed yet does no harm beside one that is in force.
    await w.write(w.hospitalA, [await keyEntry(id, actor, "add", "agree", keys.agreement())]);
    await keys.add({ use: "agree", secret: bytesFor("newer"), actor });
    await w.hl.chain.refresh();
    expect(await whyReadOnly(w.hl.chain, keys.signer(), keys)).toBeUndefined();
  });

  it.each([false, true])(
    "writes nothing when opened to read only, vault there: %s",
    async (own) => {
      const inner = memoryStorage();
      const w = await ward({ inner });
      const { id } = await w.hl.record(w.me, observation("bp-1"));
      await w.hl.close();
      const attempts: string[] = [];
      const refusing = (store: string) => async () => {
        attempts.push(store);
        throw new Error(`${store}: written to`);
      };
      const storage: FullStorage = {
        ...inner,
        chains: { ...inner.chains, append: refusing("chains") },
        blobs: { ...inner.blobs, put: refusing("put"), delete: refusing("delete") },
        state: { ...inner.state, batch: refusing("state") },
        commit: refusing("commit"),
        compact: refusing("compact"),
      };
      const keys = own ? w.hospitalA : w.institute;
      const shardKeys = { ...memoryShardKeys(), replace: refusing("shard keys") };
      const hl = await w.open({ storage, keys, readOnly: true, shardKeys });
      expect(await hl.verify()).toMatchObject({ ok: true, size: hl.chain.size });
      const known = await hl.findSubject(MRN);
      expect(known === undefined).toBe(!own);
      if (known !== undefined) {
        expect((await hl.records(known)).map(({ head }) => head.id)).toEqual([id]);
        expect(bytesToUtf8(await hl.read(id))).toBe(observation("bp-1"));
        expect(await collect(hl.audit(known))).toEqual([]);
      }
      expect(await collect(hl.pendingReviews())).toEqual([]);
      expect(await hl.verifyBlobs()).toMatchObject({ damaged: [] });
      const refused = { code: "ERR_CHAIN_READ_ONLY" };
      await expect(hl.ensureSubject(MRN)).rejects.toMatchObject(refused);
      await hl.close();
      expect(attempts).toEqual([]);
    },
  );
});

describe("a genesis record that is not the store's", () => {
  it("founds nothing beside the ledger there, unless told to", async () => {
    const world = await foundWorld();
    const hl = await world.open();
    const patient = await hl.ensureSubject(MRN);
    await hl.record(patient, observation("bp-1"));
    await hl.close();
    const parsed = decodeGenesis(world.genesis);
    const nonce = bytesFor("another nonce");
    const members = await Promise.all(
      [world.hospitalA, world.hospitalB].map((keys) => custodianOf(keys, nonce)),
    );
    const genesis = encodeGenesis({ ...parsed, nonce, members });
    const refused = { code: "ERR_CHAIN_GENESIS", message: expect.stringContaining("another") };
    await expect(world.open({ genesis })).rejects.toMatchObject(refused);
    await expect(openChain({ storage: world.storage, genesis })).rejects.toMatchObject(refused);
    await expect(world.open({ genesis, repair: { derived: true } })).rejects.toMatchObject(refused);
    // The store's own opens still, and a second one where it is wanted.
    const second = await world.open({ genesis, beside: true });
    const other = await second.ensureSubject(MRN);
    await second.record(other, observation("bp-2"));
    await second.close();
    for (const [mine, record] of [
      [world.genesis, "bp-1"],
      [genesis, "bp-2"],
    ] as const) {
      const again = await world.open({ genesis: mine });
      const known = await again.findSubject(MRN);
      const [only, ...more] = await again.records(known!);
      expect(more).toEqual([]);
      expect(bytesToUtf8(await again.read(only!.record))).toContain(record);
    }
  });
});
