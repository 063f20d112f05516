import { describe, expect, it } from "vitest";
import { decodeGenesis, encodeGenesis, ledgerId } from "../../src/block/genesis.ts";
import { possessionInput } from "../../src/block/entry.ts";
import { memberFields, type MemberDescription } from "../../src/block/member.ts";
import {
  type DescriptionReason,
  signDescription,
  verifyDescription,
} from "../../src/chain/description.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { reviewGenesis } from "../../src/chain/review-genesis.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { memoryAgreement } from "../../src/identity/agreement.ts";
import { provePossession, type Signer, signWith } from "../../src/identity/signer.ts";
import { createGenesis } from "../../src/ledger/create-genesis.ts";
import { openLedger } from "../../src/ledger/open-ledger.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { NONCE, organisation, WRITER } from "../support/founders.ts";
import { bytesFor, signerFor } from "../support/ledger.ts";

const refusal = (reason: DescriptionReason) =>
  expect.objectContaining({ name: "DescriptionRefused", code: "ERR_CHAIN_DESCRIPTION", reason });
const verdict = (bytes: Uint8Array, context: Parameters<typeof verifyDescription>[1] = NONCE) => {
  try {
    return verifyDescription(bytes, context).name;
  } catch (error) {
    return (error as { reason?: string }).reason ?? error;
  }
};
const described = async (name: string, context: Uint8Array = NONCE) =>
  signDescription(await organisation(name), { name, roles: WRITER, for: context });

/** Any content, signed as a description by any key. */
async function forged(
  member: MemberDescription,
  signer: Signer,
  fields: Record<string, unknown> = {},
): Promise<Uint8Array> {
  const content = { v: 1, for: NONCE, name: "Forged", member: memberFields(member), ...fields };
  const description = encode(content);
  return encode({
    description,
    alg: signer.alg,
    sig: await signWith(signer, "description", description),
  });
}

describe("verifyDescription", () => {
  it("gives back what an organisation said of itself", async () => {
    const { name, member } = verifyDescription(await described("Hôpital Ä"), NONCE);
    expect(name).toBe("Hôpital Ä");
    expect(member).toEqual(await describeMember(await organisation("Hôpital Ä"), WRITER, NONCE));
  });

  it("refuses one that was made for somebody else", async () => {
    expect(verdict(await described("a", bytesFor("other")))).toBe("other-nonce");
    const ledger = ledgerId(bytesFor("one"));
    const keys = await organisation("a");
    const joining = await signDescription(keys, { name: "a", roles: WRITER, for: ledger });
    expect(verdict(joining, ledger)).toBe("a");
    expect(verdict(joining, ledgerId(bytesFor("other")))).toBe("other-ledger");
    // An id is no nonce, and a nonce no id, also where the bytes are the same.
    expect(verdict(joining, ledger.multihash.digest)).toBe("other-nonce");
    expect(verdict(await described("a"), ledger)).toBe("other-ledger");
  });

  it("refuses a nonce that was exchanged, since the keys' proofs are over the first", async () => {
    const keys = await organisation("a");
    const old = await describeMember(keys, WRITER, bytesFor("old"));
    expect(verdict(await forged(old, keys.signer()))).toBe("no-proof-of-possession");
  });

  it("refuses a key that is used twice", async () => {
    const signer = signerFor("twice");
    const sign = { use: "sign", alg: "Ed25519", publicKey: signer.publicKey } as const;
    const recovery = { ...sign, use: "recovery" } as const;
    const prove = async (key: typeof sign | typeof recovery) => ({
      ...key,
      proof: await provePossession(signer, possessionInput(NONCE, signer.actor, key)),
    });
    const keys = [await prove(sign), await prove(recovery)];
    const member = { actor: signer.actor, roles: [], keys };
    expect(verdict(await forged(member, signer))).toBe("key-twice");
  });

  it("refuses a did that is not that of the first signing key", async () => {
    const [first, second] = [signerFor("first"), signerFor("second")];
    for (const [sign, by] of [
      [[{ ...second, actor: first.actor }], second],
      [[{ ...second, actor: first.actor }, first], second],
    ] as const) {
      const member = await describeMember({ sign }, WRITER, NONCE);
      expect(member.actor).toBe(first.actor);
      expect(verdict(await forged(member, by))).toBe("other-actor");
    }
  });

  it("refuses keys that nobody showed to hold, and agreement keys exchanged on the way", async () => {
    const keys = await organisation("a");
    const member = await describeMember(keys, WRITER, NONCE);
    const [sign, ...others] = member.keys;
    const proof = sign!.proof!.with(0, sign!.proof![0]! ^ 1);
    const unproved = { ...member, keys: [{ ...sign!, proof }, ...others] };
    expect(verdict(await forged(unproved, keys.signer()))).toBe("no-proof-of-possession");
    const { proof: _, ...bare } = sign!;
    const without = { ...member, keys: [bare, ...others] };
    expect(verdict(await forged(without, keys.signer()))).toBe("no-proof-of-possession");
    // Who carries the description puts an agreement key of its own into it, or another role or name.
    const mine = memoryAgreement({ alg: "X25519", secret: bytesFor("mine") });
    const exchanged = member.keys.map((key) =>
      key.use === "agree" ? { ...key, publicKey: mine.publicKey } : key,
    );
    const outer = decode(await described("a")) as { sig: Uint8Array; description: Uint8Array };
    const content = decode(outer.description) as object;
    for (const change of [
      { member: memberFields({ ...member, keys: exchanged }) },
      { member: memberFields({ ...member, roles: ["auditor"] }) },
      { name: "b" },
    ]) {
      const description = encode({ ...content, ...change });
      expect(verdict(encode({ ...outer, description }))).toBe("bad-signature");
      const byAnother = await forged(member, signerFor("thief"), change);
      expect(verdict(byAnother)).toBe("bad-signature");
    }
  });

  it("refuses bytes that are none, fields of its own, and names that deceive", async () => {
    const bytes = await described("a");
    for (let i = 0; i < bytes.length; i += 7) expect(verdict(bytes.slice(0, i))).toBe("malformed");
    expect(verdict(new Uint8Array(65_537))).toBe("malformed");
    const keys = await organisation("a");
    const member = await describeMember(keys, WRITER, NONCE);
    expect(verdict(await forged(member, keys.signer()))).toBe("Forged");
    for (const name of ["", "  ", "a\nAdds nobody.", "a\u202eb", "a\u200bb", "x".repeat(201)]) {
      expect(verdict(await forged(member, keys.signer(), { name }))).toBe("malformed");
      await expect(signDescription(keys, { name, roles: WRITER, for: NONCE })).rejects.toThrow(
        expect.objectContaining({ code: "ERR_ENCODING_SHAPE" }),
      );
    }
    expect(verdict(await forged(member, keys.signer(), { more: 1 }))).toBe("malformed");
    expect(verdict(await forged(member, keys.signer(), { v: 2 }))).toBe("malformed");
  });

  it("announces no checkpoint key of an organisation that orders no blocks", async () => {
    const keys = await organisation("a");
    const bytes = await signDescription(keys, { name: "a", roles: ["auditor"], for: NONCE });
    const { member } = verifyDescription(bytes, NONCE);
    expect(member.keys.map(({ use }) => use)).toEqual(["sign", "recovery", "agree"]);
  });
});

describe("founding by descriptions", () => {
  const origin = "history.example/together";

  it("leads all founders to one ledger, which each of them opens", async () => {
    const names = ["a", "b", "c"];
    const members = await Promise.all(names.map((name) => described(name)));
    const genesis = await createGenesis({ origin, members, nonce: NONCE });
    const reviews = names.map(() => reviewGenesis(genesis, members.toReversed()));
    expect(new Set(reviews.map(({ ledger }) => ledger.toString()))).toEqual(
      new Set([ledgerId(genesis).toString()]),
    );
    expect(reviews[0]!.lines).toEqual([
      `The ledger is called ${origin}.`,
      ...decodeGenesis(genesis).members.map(
        ({ actor }, i) => `${names[i]} is a member, as custodian, sequencer: ${actor}.`,
      ),
      "2 of 3 members must approve a change of members or policy.",
      "Checkpoints are signed by one of 3 keys, and cosigned by 0 of 0 validators and 0 of 0 witnesses.",
      "A clock may be ahead by 60000 ms; a transaction may wait for 600000 ms.",
    ]);
    for (const name of names) {
      const keys = await organisation(name);
      const hl = await openLedger({ storage: memoryStorage(), keys, genesis });
      expect(hl.id.equals(reviews[0]!.ledger)).toBe(true);
      await hl.close();
    }
  });

  it("refuses descriptions for another nonce, and a member or key that comes twice", async () => {
    const [a, b] = [await described("a"), await described("b")];
    await expect(createGenesis({ origin, members: [a, b] })).rejects.toEqual(
      refusal("other-nonce"),
    );
    const twice = { origin, members: [a, b, a], nonce: NONCE };
    await expect(createGenesis(twice)).rejects.toMatchObject({ code: "ERR_CHAIN_GENESIS" });
    const keys = await organisation("c");
    const { alg, publicKey } = (await organisation("a")).agreement();
    const shared = await signDescription(
      { sign: [keys.signer()], agree: [{ alg, publicKey }] },
      { name: "c", roles: WRITER, for: NONCE },
    );
    const members = [a, b, shared];
    await expect(createGenesis({ origin, members, nonce: NONCE })).rejects.toMatchObject({
      code: "ERR_CHAIN_GENESIS",
      message: expect.stringContaining("key twice") as unknown,
    });
  });

  it("is refused by a founder who looks, where the record is not what the others described", async () => {
    const members = await Promise.all(["a", "b"].map((name) => described(name)));
    const genesis = await createGenesis({ origin, members, nonce: NONCE });
    const decoded = decodeGenesis(genesis);
    const refused = (record: Uint8Array, why: RegExp, given = members) =>
      expect(() => reviewGenesis(record, given)).toThrow(
        expect.objectContaining({ code: "ERR_CHAIN_GENESIS", message: expect.stringMatching(why) }),
      );
    const mine = memoryAgreement({ alg: "X25519", secret: bytesFor("mine") });
    const [one, two] = decoded.members;
    const keys = two!.keys.map((key) =>
      key.use === "agree" ? { ...key, publicKey: mine.publicKey } : key,
    );
    refused(
      encodeGenesis({ ...decoded, members: [one!, { ...two!, keys }] }),
      /other roles or keys/,
    );
    const demoted = { ...decoded, members: [one!, { ...two!, roles: ["custodian"] as const }] };
    const checkpointKeys = [decoded.checkpointKeys[0]!];
    refused(encodeGenesis({ ...demoted, checkpointKeys }), /other roles or keys/);
    refused(genesis, /did not describe itself/, members.slice(0, 1));
    const third = await described("c");
    refused(genesis, /lacks a member/, [...members, third]);
    refused(genesis, /lacks a member/, [...members, members[0]!]);
    expect(() => reviewGenesis(genesis, [members[0]!, genesis])).toThrow(refusal("malformed"));
    const elsewhere = encodeGenesis({ ...decoded, members: [one!], threshold: 1, nonce: NONCE });
    refused(elsewhere, /lacks a member/);
  });
});
