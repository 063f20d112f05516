import { createHash } from "node:crypto";
import { encode } from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import { encodeGenesis, ledgerId, type Genesis } from "../../src/block/genesis.ts";
import { possessionInput } from "../../src/block/entry.ts";
import type { KeyUse } from "../../src/block/key.ts";
import type { MemberDescription, Role } from "../../src/block/member.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { decodePolicyState, keyStateKey, memberKey, POLICY_KEY } from "../../src/chain/state.ts";
import { memorySigner, provePossession, type Signer } from "../../src/identity/signer.ts";
import { createForge, keyEntry, memberEntry } from "../support/forge.ts";
import { specHex } from "../support/spec-blocks.ts";

const page = specHex("ledger.md");
const seeded = (byte: number, actor?: string): Signer =>
  memorySigner({
    alg: "Ed25519",
    secret: new Uint8Array(32).fill(byte),
    ...(actor === undefined ? {} : { actor }),
  });
const A = seeded(1);
const B = seeded(2);
const nonce = new Uint8Array(32).fill(0xab);

/** The page's second ledger: what the library's state has after some of its blocks. */
async function written(): Promise<Record<string, Uint8Array>> {
  const genesis = encodeGenesis({
    v: 1,
    origin: "ledger.example/two",
    nonce,
    members: [
      await describeMember(
        { sign: [A], checkpoint: [seeded(3, A.actor)] },
        ["custodian", "sequencer"],
        nonce,
      ),
    ],
    threshold: 1,
    maxDrift: 60_000,
    maxTxAge: 600_000,
    checkpointKeys: [seeded(3).publicKey],
    cosignaturePolicy: {
      validators: { required: 0, keys: [] },
      witnesses: { required: 0, keys: [] },
    },
    kinds: [],
    contracts: [],
  } satisfies Genesis);
  const forge = await createForge(genesis, A);
  const ledger = ledgerId(genesis);
  const found: Record<string, Uint8Array> = {};
  const look = (label: string, key: string): void => void (found[label] = forge.state.get(key)!);
  const member = async (
    roles: readonly Role[],
    keys: readonly (readonly [KeyUse, number])[],
  ): Promise<MemberDescription> => ({
    actor: B.actor,
    roles,
    keys: await Promise.all(
      keys.map(async ([use, byte]) => {
        const holder = seeded(byte, B.actor);
        const key = { use, alg: holder.alg, publicKey: holder.publicKey };
        const proof = await provePossession(holder, possessionInput(ledger, B.actor, key));
        return { ...key, proof };
      }),
    ),
  });
  const adding = (use: KeyUse, byte: number) =>
    keyEntry(ledger, A.actor, "add", use, seeded(byte, A.actor));

  await forge.add(await forge.tx(A, [await adding("checkpoint", 5), await adding("sign", 4)]));
  const asBoth = await member(
    ["custodian", "sequencer"],
    [
      ["sign", 2],
      ["checkpoint", 6],
    ],
  );
  await forge.add(
    await forge.tx(A, [
      await keyEntry(ledger, A.actor, "retire", "checkpoint", seeded(3)),
      await memberEntry(ledger, [{ op: "add", ...asBoth }], [A]),
    ]),
  );
  await forge.state.load([memberKey(B.actor), keyStateKey(seeded(6).key)]);
  look("A after block 1", memberKey(A.actor));
  look("B after block 1", memberKey(B.actor));
  look("key of 03 after block 1", keyStateKey(seeded(3).key));
  found["checkpointKeys after block 1"] = encode(
    decodePolicyState(forge.state.get(POLICY_KEY)!).checkpointKeys,
  );
  const remove = [{ op: "remove", actor: B.actor }] as const;
  await forge.add(await forge.tx(A, [await memberEntry(ledger, remove, [A])]));
  look("B after block 2", memberKey(B.actor));
  look("key of 06 after block 2", keyStateKey(seeded(6).key));
  found["checkpointKeys after block 2"] = encode(
    decodePolicyState(forge.state.get(POLICY_KEY)!).checkpointKeys,
  );
  const asAuditor = await member(["auditor"], [["sign", 8]]);
  await forge.add(
    await forge.tx(A, [await memberEntry(ledger, [{ op: "add", ...asAuditor }], [A])]),
  );
  look("B after block 3", memberKey(B.actor));
  return found;
}

// A second hand: the page's words on lists and heights, and nothing of the library.
interface Held {
  readonly id: Uint8Array;
  readonly value: Record<string, unknown>;
}
const keyIdOf = (pub: Uint8Array): Uint8Array =>
  createHash("sha256")
    .update(encode(["Ed25519", pub]))
    .digest();

function byThePage(): Record<string, Uint8Array> {
  const pub = (byte: number): Uint8Array => seeded(byte).publicKey;
  const key = (actor: string, use: string, byte: number, from: number): Held => ({
    id: keyIdOf(pub(byte)),
    value: {
      actor,
      use,
      alg: "Ed25519",
      pub: pub(byte),
      from,
      until: null,
      compromisedSince: null,
    },
  });
  const a: Held[] = [key(A.actor, "sign", 1, 0), key(A.actor, "checkpoint", 3, 0)];
  let list = [pub(3)];
  // Block 0: both come at the end.
  a.push(key(A.actor, "checkpoint", 5, 1), key(A.actor, "sign", 4, 1));
  list = [...list, pub(5)];
  // Block 1: one is taken out, B's joins at the end.
  const [third] = a.splice(1, 1);
  list = [...list.slice(1), pub(6)];
  const b = [key(B.actor, "sign", 2, 2), key(B.actor, "checkpoint", 6, 2)];
  const member = (roles: string[], from: number, until: number | null, keys: Held[]) =>
    encode({ roles, from, until, keys: keys.map(({ id }) => id) });
  return {
    "A after block 1": member(["custodian", "sequencer"], 0, null, a),
    "B after block 1": member(["custodian", "sequencer"], 2, null, b),
    "key of 03 after block 1": encode({ ...third!.value, until: 2 }),
    "checkpointKeys after block 1": encode(list),
    "B after block 2": member([], 2, 3, []),
    "key of 06 after block 2": encode({ ...b[1]!.value, until: 3 }),
    "checkpointKeys after block 2": encode(list.slice(0, 1)),
    "B after block 3": member(["auditor"], 4, null, [key(B.actor, "sign", 8, 4)]),
  };
}

describe("docs/spec/ledger.md, order and heights in the state", () => {
  it("has what the page's words make, and what the library writes", async () => {
    const library = await written();
    const expected = byThePage();
    expect(Object.keys(library).sort()).toEqual(Object.keys(expected).sort());
    for (const [label, bytes] of Object.entries(expected)) {
      expect(Buffer.from(library[label]!).toString("hex"), label).toBe(
        Buffer.from(bytes).toString("hex"),
      );
      expect(page(label), label).toEqual(new Uint8Array(bytes));
    }
  });
});
