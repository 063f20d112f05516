import { describe, expect, it } from "vitest";
import { decodeEntry, encodeEntry, type PolicyEntry } from "../../src/block/entry.ts";
import { decodeGenesis, encodeGenesis } from "../../src/block/genesis.ts";
import type { Quorum } from "../../src/block/policy.ts";
import { decode, encode } from "../../src/codec/dag-cbor.ts";
import { salt } from "../support/forge.ts";
import { foundLedger, signerFor } from "../support/ledger.ts";

const { parsed } = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });
const NONE: Quorum = { required: 0, keys: [] };
const keysOf = (...names: string[]): Quorum["keys"] =>
  names.map((name) => ({ name, publicKey: signerFor(name).publicKey }));
const cosigners = (count: number): Quorum["keys"] =>
  keysOf(...Array.from({ length: count }, (_, i) => `w${i}`));

/** Writes and reads a policy in both places that take one: the genesis record and a `policy` entry. */
const PLACES = {
  genesis: (validators: Quorum, witnesses: Quorum) =>
    decodeGenesis(encodeGenesis({ ...parsed, cosignaturePolicy: { validators, witnesses } }))
      .cosignaturePolicy,
  "a policy entry": (validators: Quorum, witnesses: Quorum) => {
    const changes = { cosignaturePolicy: { validators, witnesses } };
    const approval = { actor: parsed.members[0]!.actor, key: new Uint8Array(32) };
    const approvals = [{ ...approval, alg: "Ed25519", sig: new Uint8Array(64) }] as const;
    const rest = { salt: salt(), nonce: salt(), notAfter: 9, approvals };
    const entry = decodeEntry(encodeEntry({ v: 1, kind: "policy", ...rest, changes }));
    return (entry as PolicyEntry).changes.cosignaturePolicy;
  },
};
const SHAPE = expect.objectContaining({ code: "ERR_ENCODING_SHAPE" });

describe.each(Object.entries(PLACES))("a quorum in %s", (_, write) => {
  it("of half of its keys or fewer is refused unless it says so, and only then may it say so", () => {
    // Two groups of k among n keys need not share a member exactly where 2k ≤ n.
    const disjoint = new Set(["1 of 2", "1 of 3", "1 of 4", "2 of 4", "1 of 5", "2 of 5"]);
    for (let n = 0; n <= 5; n++) {
      for (let k = 0; k <= n; k++) {
        const plain: Quorum = { required: k, keys: cosigners(n) };
        const meant: Quorum = { ...plain, minority: true };
        const [right, wrong] = disjoint.has(`${k} of ${n}`) ? [meant, plain] : [plain, meant];
        for (const pair of [
          [right, NONE],
          [NONE, right],
        ] as const) {
          const [validators, witnesses] = pair;
          expect(write(...pair), `${k} of ${n}`).toEqual({ validators, witnesses });
        }
        expect(() => write(wrong, NONE), `${k} of ${n}`).toThrow(SHAPE);
        expect(() => write(NONE, wrong), `${k} of ${n}`).toThrow(SHAPE);
      }
    }
  });

  it.each([false, 1, "true", null])("says so by `true` alone, not by %j", (minority) => {
    const quorum = { required: 1, keys: cosigners(2), minority } as unknown as Quorum;
    expect(() => write(quorum, NONE)).toThrow(SHAPE);
  });

  it("shares no key with the other one, under whatever name", () => {
    const [v, w] = keysOf("v", "w") as [Quorum["keys"][0], Quorum["keys"][0]];
    const one = (key: Quorum["keys"][0], required = 1): Quorum => ({ required, keys: [key] });
    expect(write(one(v), one(w))).toEqual({ validators: one(v), witnesses: one(w) });
    for (const required of [0, 1]) {
      expect(() => write(one(v), one(v, required))).toThrow(SHAPE);
      expect(() => write(one(v), one({ ...v, name: "other" }, required))).toThrow(SHAPE);
    }
  });
});

describe("a quorum that was written by somebody else", () => {
  const fields = decode(
    encodeGenesis({
      ...parsed,
      cosignaturePolicy: { validators: NONE, witnesses: { required: 2, keys: cosigners(2) } },
    }),
  ) as Record<string, unknown> & { cosignaturePolicy: { witnesses: object } };

  it("is judged by its bytes, whatever made them", () => {
    const withWitnesses = (change: object): Uint8Array => {
      const { validators, witnesses } = fields.cosignaturePolicy as unknown as Record<
        string,
        object
      >;
      return encode({
        ...fields,
        cosignaturePolicy: { validators, witnesses: { ...witnesses, ...change } },
      });
    };
    expect(decodeGenesis(withWitnesses({})).cosignaturePolicy.witnesses.required).toBe(2);
    const minority = withWitnesses({ required: 1, minority: true });
    expect(decodeGenesis(minority).cosignaturePolicy.witnesses.minority).toBe(true);
    for (const change of [{ required: 1 }, { minority: true }, { required: 1, minority: false }]) {
      expect(() => decodeGenesis(withWitnesses(change))).toThrow(SHAPE);
    }
  });
});
