import { describe, expect, it } from "vitest";
import { encodeGenesis } from "../../src/block/genesis.ts";
import type { Role } from "../../src/block/member.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { POLICY_KEY } from "../../src/chain/state.ts";
import type { Signer } from "../../src/identity/signer.ts";
import { createForge, keyEntry, memberEntry, policyEntry } from "../support/forge.ts";
import { bytesFor, foundLedger, recordEntries, signerFor } from "../support/ledger.ts";

const MEMBERS: Record<string, readonly Role[]> = {
  a: ["custodian", "sequencer"],
  b: ["custodian", "sequencer"],
  c: ["auditor"],
};

async function start(proposer: "a" | "b" = "a") {
  const { genesis, signers } = await foundLedger(MEMBERS);
  const { a, b, c } = signers as Record<"a" | "b" | "c", Signer>;
  const forge = await createForge(genesis, proposer === "a" ? a : b);
  const { ledger } = forge;
  const listed = async () => {
    await forge.state.load([POLICY_KEY]);
    return forge.state.policy().checkpointKeys;
  };
  const file = (actor: Signer, key: Signer) =>
    keyEntry(ledger, actor.actor, "add", "checkpoint", key);
  const roles = (of: Signer, roles: readonly Role[]) =>
    memberEntry(ledger, [{ op: "roles", actor: of.actor, roles }], [a, c]);
  const remove = (of: Signer) =>
    memberEntry(
      ledger,
      [{ op: "remove", actor: of.actor }],
      [a, b, c].filter((one) => one !== of),
    );
  return { forge, ledger, a, b, c, listed, file, roles, remove };
}

describe("whose a checkpoint key is", () => {
  for (const proposer of ["a", "b"] as const) {
    it(`files none behind one's own demotion or removal, block by ${proposer}`, async () => {
      const { forge, a, b, file, roles, remove } = await start(proposer);
      const evil = signerFor("evil", b.actor);
      const add = await forge.tx(b, [await file(b, evil)]);
      for (const leaving of [await roles(b, ["custodian"]), await remove(b)]) {
        const result = await forge.judgeTx(await forge.tx(a, [leaving]), add);
        expect(result).toMatchObject({ ok: false, transaction: 1, entry: 0 });
      }
    });
  }

  it("takes the key filed before the demotion in its block, and by recovery", async () => {
    const { forge, a, b, c, listed, file, roles, ledger } = await start();
    const evil = signerFor("evil", b.actor);
    await forge.add(await forge.tx(a, [await file(a, signerFor("kept", a.actor))]));
    await forge.add(
      await forge.tx(b, [await file(b, evil)]),
      await forge.tx(a, [await roles(b, ["custodian"])]),
    );
    expect(await listed()).toEqual([signerFor("kept", a.actor).publicKey]);
    // A recovery is an addition as well.
    const worse = signerFor("worse", b.actor);
    const recovery = signerFor("b recovery", b.actor);
    const recover = await keyEntry(ledger, b.actor, "recover", "checkpoint", worse);
    expect(await forge.judgeTx(await forge.tx(recovery, [recover]))).toMatchObject({
      ok: false,
      reason: "not-entitled",
    });
    // Nor by a policy that was approved before.
    const stale = await policyEntry(ledger, { checkpointKeys: [evil.publicKey] }, [a, c]);
    expect(await forge.judgeTx(await forge.tx(a, [stale]))).toMatchObject({
      ok: false,
      reason: "not-entitled",
    });
  });

  it("lists no signing key, no retired one and none of a removed member by policy", async () => {
    const { forge, a, b, c, file, remove, ledger } = await start();
    const judge = async (pub: Uint8Array) =>
      forge.judgeTx(
        await forge.tx(a, [await policyEntry(ledger, { checkpointKeys: [pub] }, [a, c])]),
      );
    expect(await judge(a.publicKey)).toMatchObject({ reason: "key-use" });
    const own = signerFor("own", b.actor);
    await forge.add(await forge.tx(b, [await file(b, own)]));
    expect(await judge(own.publicKey)).toMatchObject({ ok: true });
    await forge.add(await forge.tx(a, [await remove(b)]));
    expect(await judge(own.publicKey)).toMatchObject({ reason: "key-not-in-force" });
    expect(await judge(signerFor("nobody's").publicKey)).toMatchObject({ ok: true });
  });

  it("takes what genesis lists and is nobody's with a sequencer that leaves, only then", async () => {
    const { forge, a, b, c, listed, file, remove, ledger } = await start();
    const founders = await listed();
    expect(founders).toHaveLength(1);
    const threshold = await policyEntry(ledger, { threshold: 1 }, [a, b]);
    await forge.add(await forge.tx(a, [threshold]));
    await forge.add(await forge.tx(a, [await remove(c)]));
    expect(await listed()).toEqual(founders);
    const leaving = await memberEntry(ledger, [{ op: "remove", actor: b.actor }], [a]);
    await forge.add(await forge.tx(a, [leaving]));
    expect(await listed()).toEqual([]);
    // The ledger goes on, and a sequencer lists a key of his own.
    await forge.add(await forge.tx(a, recordEntries(1)));
    const own = signerFor("own", a.actor);
    await forge.add(await forge.tx(a, [await file(a, own)]));
    expect(await listed()).toEqual([own.publicKey]);
  });

  it("keeps what genesis lists once its owner has filed it", async () => {
    const { forge, a, b, listed, file, remove } = await start();
    const founders = await listed();
    await forge.add(await forge.tx(a, [await file(a, signerFor("checkpoint", a.actor))]));
    await forge.add(await forge.tx(a, [await remove(b)]));
    expect(await listed()).toEqual(founders);
  });
});

describe("a genesis record", () => {
  it("lists a member's key for checkpoints only if it is one, of a sequencer", async () => {
    const { parsed } = await foundLedger(MEMBERS);
    const nonce = bytesFor("nonce");
    const a = signerFor("a");
    const c = signerFor("c");
    const b = parsed.members[1]!;
    const own = signerFor("own", a.actor);
    const owned = await describeMember({ sign: [a], checkpoint: [own] }, MEMBERS["a"]!, nonce);
    const ofC = await describeMember({ sign: [c], checkpoint: [own] }, MEMBERS["c"]!, nonce);
    const founds = (members: typeof parsed.members, pub: Uint8Array) =>
      encodeGenesis({ ...parsed, members, checkpointKeys: [pub] });
    expect(founds([owned, b], own.publicKey)).toBeInstanceOf(Uint8Array);
    for (const [members, pub] of [
      [[owned, b], a.publicKey],
      [[parsed.members[0]!, b, ofC], own.publicKey],
    ] as const) {
      expect(() => founds(members, pub)).toThrow(
        expect.objectContaining({ code: "ERR_CHAIN_GENESIS" }),
      );
    }
  });

  it("names a member by the first of its signing keys, and has every proof", async () => {
    const { parsed } = await foundLedger(MEMBERS);
    const [a, ...others] = parsed.members;
    const second = signerFor("second", a!.actor);
    const two = await describeMember(
      { sign: [signerFor("a"), second] },
      MEMBERS["a"]!,
      bytesFor("nonce"),
    );
    const swapped = { ...two, keys: [two.keys[1]!, two.keys[0]!] };
    const { proof: _, ...unproved } = two.keys[0]!;
    expect(encodeGenesis({ ...parsed, members: [two, ...others] })).toBeInstanceOf(Uint8Array);
    for (const member of [swapped, { ...two, keys: [unproved] }]) {
      expect(() => encodeGenesis({ ...parsed, members: [member, ...others] })).toThrow(
        expect.objectContaining({ code: "ERR_CHAIN_GENESIS" }),
      );
    }
  });

  it("refuses invalid keys, an age below a second, and invisible names", async () => {
    const { parsed } = await foundLedger(MEMBERS);
    const [a, ...others] = parsed.members;
    const none = { required: 0, keys: [] };
    const refused = (change: object, what: string) =>
      expect(() => encodeGenesis({ ...parsed, ...change }), what).toThrow(
        expect.objectContaining({ name: "EncodingError" }),
      );
    const bad = {
      zero: new Uint8Array(32),
      identity: Uint8Array.of(1, ...new Uint8Array(31)),
      "beyond p": new Uint8Array(32).fill(255),
      "off the curve": Uint8Array.of(2, ...new Uint8Array(31)),
    };
    for (const [what, publicKey] of Object.entries(bad)) {
      refused({ checkpointKeys: [publicKey] }, `checkpoint ${what}`);
      for (const quorum of ["validators", "witnesses"]) {
        const keys = [{ name: "w", publicKey }];
        const policy = { validators: none, witnesses: none, [quorum]: { required: 1, keys } };
        refused({ cosignaturePolicy: policy }, `${quorum} ${what}`);
      }
      for (const use of ["sign", "checkpoint", "recovery"]) {
        const key = { use, alg: "Ed25519", publicKey, proof: new Uint8Array(64) };
        refused({ members: [{ ...a!, keys: [...a!.keys, key] }, ...others] }, `${use} ${what}`);
      }
    }
    for (const [alg, length] of [
      ["X25519", 32],
      ["P-256", 33],
      ["X-Wing", 1216],
    ] as const) {
      for (const byte of [0, 255]) {
        const key = { use: "agree", alg, publicKey: new Uint8Array(length).fill(byte) };
        refused({ members: [{ ...a!, keys: [...a!.keys, key] }, ...others] }, `${alg} ${byte}`);
      }
    }
    refused({ maxTxAge: 0 }, "age 0");
    refused({ maxTxAge: 999 }, "age 999");
    expect(encodeGenesis({ ...parsed, maxTxAge: 1000, maxDrift: 0 })).toBeInstanceOf(Uint8Array);
    for (const origin of ["a\u200bb", "a\u202eb", "a\ufeffb", "a\u00adb", "a\u2028b", "a\u00a0b"]) {
      refused({ origin }, JSON.stringify(origin));
    }
  });

  it("takes none of them later either", async () => {
    const { forge, a, b, c, ledger } = await start();
    for (const change of [
      { checkpointKeys: [new Uint8Array(32)] },
      { checkpointKeys: [Uint8Array.of(2, ...new Uint8Array(31))] },
      { maxTxAge: 0 },
    ]) {
      const entry = await policyEntry(ledger, change, [a, b]);
      expect(await forge.judgeTx(await forge.tx(a, [entry]))).toMatchObject({
        reason: "malformed",
      });
    }
    const zero = { alg: "X25519", publicKey: new Uint8Array(32) } as const;
    const agree = await keyEntry(ledger, c.actor, "add", "agree", zero);
    expect(await forge.judgeTx(await forge.tx(c, [agree]))).toMatchObject({ reason: "malformed" });
  });
});

describe("lanes", () => {
  it("end at 1023", async () => {
    const { forge, a } = await start();
    const judge = async (lane: number) =>
      forge.judgeTx(await forge.tx(a, recordEntries(1), { lane }));
    expect(await judge(1023)).toMatchObject({ ok: true });
    expect(await judge(1024)).toMatchObject({ reason: "over-limit", transaction: 0 });
  });
});
