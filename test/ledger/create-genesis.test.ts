import { describe, expect, it } from "vitest";
import { decodeGenesis, type Genesis } from "../../src/block/genesis.ts";
import { signDescription } from "../../src/chain/description.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { memoryKeys, type KeyStore } from "../../src/identity/key-store.ts";
import { generateSigner } from "../../src/identity/signer.ts";
import { createGenesis, type CreateGenesisOptions } from "../../src/ledger/create-genesis.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { bytesFor } from "../support/ledger.ts";

const origin = "history.example/created";

async function organisation(): Promise<KeyStore> {
  const keys = memoryKeys();
  for (const use of ["sign", "checkpoint", "agree"] as const) await keys.generate({ use });
  return keys;
}

const created = async (options: Partial<CreateGenesisOptions>): Promise<Genesis> =>
  decodeGenesis(await createGenesis({ origin, members: [], ...options }));

describe("createGenesis", () => {
  it("founds a ledger of one, which opens", async () => {
    const keys = await organisation();
    const genesis = await createGenesis({ origin, members: [{ keys }] });
    const read = decodeGenesis(genesis);
    expect(read).toMatchObject({
      ...{ v: 1, origin, threshold: 1, maxDrift: 60_000, maxTxAge: 600_000 },
      cosignaturePolicy: {
        validators: { required: 0, keys: [] },
        witnesses: { required: 0, keys: [] },
      },
      checkpointKeys: [keys.signer("checkpoint").publicKey],
      ...{ kinds: [], contracts: [] },
    });
    expect(read.members).toMatchObject([
      {
        actor: keys.signer().actor,
        roles: ["custodian", "sequencer"],
        keys: [{ use: "sign" }, { use: "checkpoint" }, { use: "agree" }],
      },
    ]);
    const hl = await openLedger({ storage: memoryStorage(), keys, genesis });
    expect(hl.member).toBe(keys.signer().actor);
    await hl.close();
  });

  it("draws another nonce each time, or takes the one that is given", async () => {
    const members = [{ keys: await organisation() }];
    const [one, two] = [await created({ members }), await created({ members })];
    expect(one.nonce).not.toEqual(two.nonce);
    const given = await created({ members, nonce: bytesFor("given") });
    expect(given.nonce).toEqual(bytesFor("given"));
  });

  it.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [5, 3],
  ])("lets more than half of %i members change the rules: %i", async (count, threshold) => {
    const members = [];
    for (let i = 0; i < count; i++) members.push({ keys: await organisation() });
    expect((await created({ members })).threshold).toBe(threshold);
    expect((await created({ members, threshold: 1 })).threshold).toBe(1);
  });

  it("lists the checkpoint keys of who orders blocks, and of nobody else", async () => {
    const [a, b, c] = [await organisation(), await organisation(), await organisation()];
    const members = [{ keys: a }, { keys: b }, { keys: c, roles: ["auditor"] as const }];
    expect((await created({ members })).checkpointKeys).toEqual([
      a.signer("checkpoint").publicKey,
      b.signer("checkpoint").publicKey,
    ]);
  });

  it("announces keys that are in use, and no retired ones", async () => {
    const keys = await organisation();
    const old = keys.agreement();
    await keys.generate({ use: "agree" });
    await keys.retire(old.key);
    await keys.generate({ use: "recovery" });
    const { members } = await created({ members: [{ keys }] });
    expect(members[0]!.keys.map(({ use }) => use)).toEqual([
      ...["sign", "checkpoint", "recovery", "agree"],
    ]);
    expect(members[0]!.keys.at(-1)!.publicKey).toEqual(keys.agreement().publicKey);
  });

  it("takes what another organisation described, as bytes", async () => {
    const [own, other] = [await organisation(), await organisation()];
    const nonce = bytesFor("agreed");
    const described = await signDescription(other, {
      ...{ name: "Other", roles: ["custodian"], for: nonce },
    });
    const { members } = await created({ members: [{ keys: own }, described], nonce });
    expect(members[1]).toEqual(await describeMember(other, ["custodian"], nonce));
  });

  it("refuses founders that no ledger could work with", async () => {
    const refused = { code: "ERR_CHAIN_GENESIS" };
    await expect(created({})).rejects.toMatchObject(refused);
    const keys = memoryKeys();
    await keys.generate({ use: "sign" });
    await keys.generate({ use: "checkpoint" });
    await expect(created({ members: [{ keys }] })).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining("agreement key"),
    });
    await keys.generate({ use: "agree" });
    await expect(created({ members: [{ keys, roles: ["custodian"] }] })).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining("order blocks"),
    });
    const unsigned = memoryKeys();
    await unsigned.generate({ use: "sign" });
    await unsigned.generate({ use: "agree" });
    await expect(created({ members: [{ keys: unsigned }] })).rejects.toMatchObject({
      ...refused,
      message: expect.stringContaining("checkpoint key"),
    });
  });

  it("refuses an option that it does not know, and values of another form", async () => {
    const members = [{ keys: await organisation() }];
    await expect(created({ members, ...{ treshold: 2 } })).rejects.toThrow(TypeError);
    await expect(created({ members, origin: "two words" })).rejects.toMatchObject({
      name: "EncodingError",
    });
    await expect(created({ members, nonce: new Uint8Array(31) })).rejects.toThrow(RangeError);
    await expect(created({ members, threshold: 2 })).rejects.toMatchObject({
      code: "ERR_CHAIN_GENESIS",
    });
  });

  it("refuses a misspelt name within an option, which would leave a default nobody meant", async () => {
    const keys = await organisation();
    const members = [{ keys }];
    const of = [{ name: "w1", publicKey: generateSigner().publicKey }];
    const wrong: readonly object[] = [
      { cosignatures: { witness: { of } } },
      { cosignatures: { validators: { of }, witness: { of } } },
      { cosignatures: { witnesses: { of, requried: 1 } } },
      { cosignatures: { witnesses: undefined } },
      { cosignatures: {} },
      { cosignatures: "None" },
      { cosignatures: [{ witnesses: { of } }] },
      { cosignatures: new Map([["witnesses", { of }]]) },
      // Would be given the roles of a custodian that orders blocks.
      { members: [{ keys }, { keys: await organisation(), role: ["auditor"] }] },
      { members: [{ keys }, { keys: await organisation(), Roles: ["auditor"] }] },
    ];
    for (const options of wrong) {
      await expect(created({ members, ...options })).rejects.toThrow(TypeError);
    }
  });

  it("refuses members and quorums that nobody could work with", async () => {
    const [own, other] = [await organisation(), await organisation()];
    const nonce = bytesFor("agreed");
    const theirs = await signDescription(other, {
      ...{ name: "Other", roles: ["custodian"], for: nonce },
    });
    const key = (name: string) => ({ name, publicKey: generateSigner().publicKey });
    const genesis = { code: "ERR_CHAIN_GENESIS" };
    const shape = { name: "EncodingError", code: "ERR_ENCODING_SHAPE" };
    const refused = (options: Partial<CreateGenesisOptions>, why: object) =>
      expect(created({ members: [{ keys: own }], nonce, ...options })).rejects.toMatchObject(why);
    // A member twice, and a key of two members.
    const twice = { ...genesis, message: expect.stringContaining("twice") };
    await refused({ members: [{ keys: own }, { keys: own }] }, twice);
    await refused({ members: [{ keys: other }, theirs] }, genesis);
    const agreement = { alg: own.agreement().alg, publicKey: own.agreement().publicKey };
    const sharing = { sign: [other.signer()], agree: [agreement] };
    await refused(
      { members: [{ keys: own }, { keys: sharing, roles: ["custodian"] }] },
      { ...genesis, message: expect.stringContaining("key twice") },
    );
    // No number of approvals, and more of them than members.
    for (const threshold of [0, -1, 1.5, NaN]) {
      await refused({ threshold }, { name: "EncodingError" });
    }
    await refused({ members: [{ keys: own }, theirs], threshold: 3 }, genesis);
    // More cosignatures than cosigners; nobody to cosign; one key, or one name, that counts twice.
    const one = key("w1");
    const witnesses = (of: (typeof one)[], required?: number) => ({
      cosignatures: { witnesses: { of, ...(required === undefined ? {} : { required }) } },
    });
    await refused(witnesses([one], 2), { name: "EncodingError" });
    await refused(witnesses([]), { name: "EncodingError" });
    await refused(witnesses([one, { ...one, name: "w2" }]), shape);
    await refused(witnesses([one, key("w1")]), shape);
  });

  it("says in words who must cosign", async () => {
    const members = [{ keys: await organisation() }];
    const of = ["w1", "w2", "w3"].map((name) => {
      return { name, publicKey: generateSigner().publicKey };
    });
    const keys = of.map(({ name, publicKey }) => ({ name, publicKey }));
    const nobody = { required: 0, keys: [] };
    const policyOf = async (cosignatures: CreateGenesisOptions["cosignatures"] & object) =>
      (await created({ members, cosignatures })).cosignaturePolicy;
    expect(await policyOf({ witnesses: { of } })).toEqual({
      validators: nobody,
      witnesses: { required: 2, keys },
    });
    expect(await policyOf({ validators: { of, required: 3 } })).toEqual({
      validators: { required: 3, keys },
      witnesses: nobody,
    });
    expect((await created({ members, cosignatures: "none" })).cosignaturePolicy.witnesses).toEqual(
      nobody,
    );
    const minority = { of, required: 1, minority: true } as const;
    expect((await policyOf({ witnesses: minority })).witnesses).toEqual({
      ...{ required: 1, keys, minority: true },
    });
    for (const witnesses of [
      { of, required: 1 },
      { of, required: 2, minority: true as const },
    ]) {
      await expect(policyOf({ witnesses })).rejects.toMatchObject({ code: "ERR_ENCODING_SHAPE" });
    }
  });
});
