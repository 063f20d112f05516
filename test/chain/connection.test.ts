import { beforeAll, describe, expect, it } from "vitest";
import { signTransaction } from "../../src/block/transaction.ts";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { makePolicyStep, makeReceipt } from "../../src/chain/make-receipt.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { decodeReceipt, encodeReceipt } from "../../src/chain/receipt.ts";
import {
  followCheckpoint,
  followPolicy,
  judgeCheckpoint,
  trustFromGenesis,
  type Trust,
} from "../../src/chain/trust.ts";
import { verifyReceipt } from "../../src/chain/verify-receipt.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { EMPTY_ROOT } from "../../src/merkle/hash.ts";
import { policyEntry } from "../support/forge.ts";
import { bytesFor, recordEntries, signerFor, START, startLedger } from "../support/ledger.ts";
import { mth, proof as consistency } from "../support/rfc9162.ts";

const ORIGIN = "ledger.example/test";
const LENGTH = 9;
/** Blocks that both histories begin with. */
const COMMON = 2;

type History = Awaited<ReturnType<typeof history>>;

/** A ledger that goes its own way behind the common blocks; all of them have one genesis. */
async function history(common: readonly Uint8Array[][], entries: readonly Uint8Array[][]) {
  const ledger = await startLedger();
  const { chain, sequencer, signers } = ledger;
  for (const [seq, one] of [...common, ...entries].entries()) {
    const unsigned = { ledger: chain.ledger, lane: 0, seq, time: START, entries: one };
    await sequencer.submit(await signTransaction(signers["a"]!, unsigned)).durable;
  }
  const headers: Uint8Array[] = [];
  for (let height = 0; height < chain.size; height++) {
    headers.push((await chain.readBlock(height)).block.header);
  }
  const note = async (size: number, ...by: string[]) =>
    signNote(
      encodeCheckpoint({ origin: ORIGIN, size, root: mth(headers.slice(0, size)) }),
      (by.length === 0 ? ["checkpoint"] : by).map((name) => noteSigner(signerFor(name), ORIGIN)),
    );
  return { ...ledger, headers, note };
}

const blocks = (count: number) => Array.from({ length: count }, () => recordEntries(1));

let real: History;
let fork: History;
let genesisTrust: Trust;

beforeAll(async () => {
  const common = blocks(COMMON);
  real = await history(common, blocks(LENGTH - COMMON));
  fork = await history(common, blocks(LENGTH - COMMON));
  genesisTrust = trustFromGenesis(real.genesis);
});

const trustAt = (of: History, size: number): Trust => ({
  ...genesisTrust,
  size,
  root: mth(of.headers.slice(0, size)),
});

const receiptAt = async (of: History, size: number, from?: Trust) =>
  makeReceipt(
    of.chain,
    { height: 0, transaction: 0, entry: 0 },
    { checkpoint: await of.note(size), ...(from === undefined ? {} : { from }) },
  );

const outcome = (bytes: Uint8Array, trust: Trust): string => {
  const result = verifyReceipt(bytes, trust);
  return result.ok ? "ok" : result.reason;
};

describe("a receipt and the trusted root", () => {
  it("holds in both directions with the proof that was asked for, made as in RFC 9162", async () => {
    for (const seen of [1, 2, 3, 5, 8]) {
      const trust = trustAt(real, seen);
      for (const size of [1, 2, 4, 5, 7, 9]) {
        const bytes = await receiptAt(real, size, trust);
        expect(outcome(bytes, trust)).toBe("ok");
        expect(verifyReceipt(bytes, trust)).toMatchObject({ connectedTo: seen });
        const { consistency: proof } = decodeReceipt(bytes);
        const [old, now] = [Math.min(seen, size), Math.max(seen, size)];
        expect(proof ?? []).toEqual(
          old === now ? [] : consistency(old, real.headers.slice(0, now)),
        );
      }
    }
  });

  it("is never believed wrongly, whatever proof comes with it", async () => {
    let judged = 0;
    for (const seen of [1, 3, 5, 8]) {
      const trust = trustAt(real, seen);
      for (const of of [real, fork]) {
        for (const size of [1, 2, 3, 4, 5, 7, 8, 9]) {
          const bare = decodeReceipt(await receiptAt(of, size));
          const [old, now] = [Math.min(seen, size), Math.max(seen, size)];
          const shared = of === real || old <= COMMON;
          const from = (headers: readonly Uint8Array[], a: number, b: number) =>
            a < b ? consistency(a, headers.slice(0, b)) : [];
          const proofs = {
            absent: undefined,
            empty: [],
            real: from(real.headers, old, now),
            fork: from(fork.headers, old, now),
            "other direction": from(real.headers, LENGTH - now, LENGTH - old || 1),
            "other size": from(of.headers, old, Math.min(now + 1, LENGTH)),
            reversed: from(of.headers, old, now).toReversed(),
            "a hash more": [...from(of.headers, old, now), bytesFor("more")],
          };
          for (const [name, proof] of Object.entries(proofs)) {
            const receipt = proof === undefined ? bare : { ...bare, consistency: proof };
            const result = outcome(encodeReceipt(receipt), trust);
            judged++;
            const what = `${of === real ? "real" : "fork"} at ${size}, trusted ${seen}, ${name}`;
            if (result !== "ok") {
              expect(["not-connected", "not-an-extension"], what).toContain(result);
              continue;
            }
            // Believed: then the two heads are of one history, by the tree hash itself.
            const [smaller, larger] = seen <= size ? [real, of] : [of, real];
            expect(mth(larger.headers.slice(0, old)), what).toEqual(
              mth(smaller.headers.slice(0, old)),
            );
            expect(shared, what).toBe(true);
            if (old !== now) expect(proof, what).toEqual(from(larger.headers, old, now));
          }
        }
      }
    }
    expect(judged).toBe(4 * 2 * 8 * 8);
  });

  it("names one size with two roots by another reason than a proof that is missing", async () => {
    const trust = trustAt(real, 5);
    expect(outcome(await receiptAt(fork, 5), trust)).toBe("not-an-extension");
    expect(outcome(await receiptAt(fork, 6), trust)).toBe("not-connected");
    expect(outcome(await receiptAt(real, 6), trust)).toBe("not-connected");
    expect(outcome(await receiptAt(real, 5), trust)).toBe("ok");
  });

  it("is believed by who has genesis alone, and says that no root was held against it", async () => {
    for (const of of [real, fork]) {
      const result = verifyReceipt(await receiptAt(of, 4), genesisTrust);
      expect(result).toMatchObject({ ok: true });
      expect(result).not.toHaveProperty("connectedTo");
    }
    // A size without a root says how far the policy is known, and nothing to connect to.
    expect(outcome(await receiptAt(real, 4), { ...genesisTrust, size: 7 })).toBe("ok");
  });

  it("connects to the empty ledger's root without a proof, and to no other root of size 0", async () => {
    const bytes = await receiptAt(real, 4);
    expect(outcome(bytes, { ...genesisTrust, root: EMPTY_ROOT })).toBe("ok");
    expect(outcome(bytes, { ...genesisTrust, root: bytesFor("none") })).toBe("not-connected");
    const proved = { ...decodeReceipt(bytes), consistency: [bytesFor("some")] };
    expect(outcome(encodeReceipt(proved), { ...genesisTrust, root: EMPTY_ROOT })).toBe(
      "not-connected",
    );
  });

  it("is not made towards a root of another history, nor towards a longer ledger", async () => {
    await expect(receiptAt(real, 5, trustAt(fork, 4))).rejects.toMatchObject({
      code: "ERR_PROOF_UNAVAILABLE",
    });
    await expect(receiptAt(real, 5, trustAt(fork, 5))).rejects.toMatchObject({
      code: "ERR_PROOF_UNAVAILABLE",
    });
    const longer = { ...genesisTrust, size: LENGTH + 1, root: bytesFor("longer") };
    await expect(receiptAt(real, 5, longer)).rejects.toMatchObject({ code: "ERR_PROOF_RANGE" });
  });

  it("is not made under a checkpoint of another history", async () => {
    const place = { height: 4, transaction: 0, entry: 0 };
    const checkpoint = await fork.note(6);
    await expect(makeReceipt(real.chain, place, { checkpoint })).rejects.toMatchObject({
      code: "ERR_PROOF_UNAVAILABLE",
    });
  });
});

describe("a checkpoint and the trusted root", () => {
  it("is judged like a receipt's, and followed only forwards", async () => {
    const trust = trustAt(real, 4);
    const reason = (result: { ok: true } | { ok: false; reason: string }) =>
      result.ok ? "ok" : result.reason;
    const proof = (of: History, a: number, b: number) => consistency(a, of.headers.slice(0, b));
    const judge = async (of: History, size: number, given?: readonly Uint8Array[]) =>
      reason(judgeCheckpoint(await of.note(size), trust, given));
    expect(await judge(real, 6)).toBe("not-connected");
    expect(await judge(real, 6, proof(real, 4, 6))).toBe("ok");
    expect(await judge(real, 3, proof(real, 3, 4))).toBe("ok");
    expect(await judge(fork, 6, proof(fork, 4, 6))).toBe("not-connected");
    expect(await judge(fork, 4)).toBe("not-an-extension");
    expect(await judge(real, 4)).toBe("ok");
    const follow = async (of: History, size: number, given: readonly Uint8Array[]) =>
      reason(followCheckpoint(trust, await of.note(size), given));
    expect(await follow(real, 6, proof(real, 4, 6))).toBe("ok");
    expect(await follow(real, 6, [])).toBe("not-an-extension");
    expect(await follow(fork, 6, proof(fork, 4, 6))).toBe("not-an-extension");
    expect(await follow(real, 3, proof(real, 3, 4))).toBe("older-than-trusted");
    const odd = { ...genesisTrust, root: bytesFor("none") };
    expect(reason(followCheckpoint(odd, await real.note(3), []))).toBe("not-an-extension");
  });

  it("is heeded by who reads a whole ledger", async () => {
    const verify = async (trust: Trust) => {
      const result = await verifyLedger(real.storage.chains!, { genesis: real.genesis, trust });
      return result.ok ? "ok" : `${result.reason} ${result.height ?? ""}`.trim();
    };
    expect(await verify(trustAt(real, 4))).toBe("ok");
    expect(await verify(trustAt(real, LENGTH))).toBe("ok");
    expect(await verify(trustAt(fork, COMMON))).toBe("ok");
    expect(await verify(trustAt(fork, 4))).toBe("not-an-extension 3");
    expect(await verify({ ...trustAt(real, 4), size: LENGTH + 1 })).toBe("older-than-trusted");
    expect(await verify({ ...genesisTrust, size: LENGTH + 1 })).toBe("older-than-trusted");
    expect(await verify({ ...genesisTrust, root: EMPTY_ROOT })).toBe("ok");
    expect(await verify({ ...genesisTrust, root: bytesFor("none") })).toBe("not-an-extension");
    const other = await startLedger({ policy: { nonce: bytesFor("another") } });
    expect(await verify(trustFromGenesis(other.genesis))).toBe("other-ledger");
  });
});

describe("a policy path and one history", () => {
  /** Moves from the first checkpoint key to another, with a checkpoint that both signed. */
  async function moved(to: string, filler: readonly Uint8Array[][]) {
    const { chain, signers } = await startLedger();
    const change = await policyEntry(chain.ledger, { checkpointKeys: [signerFor(to).publicKey] }, [
      signers["a"]!,
      signers["b"]!,
    ]);
    const ledger = await history([[change]], filler);
    const size = filler.length + 1;
    const both = await ledger.note(size, "checkpoint", to);
    return { ...ledger, size, both, step: await makePolicyStep(ledger.chain, size - 1, both) };
  }

  it("takes no step of another history, although its checkpoint is signed as it must be", async () => {
    const [one, two] = [await moved("next", blocks(2)), await moved("next", blocks(4))];
    const judge = async (of: History & { size: number }, step: typeof one.step) => {
      const made = await makeReceipt(
        of.chain,
        { height: 1, transaction: 0, entry: 0 },
        { checkpoint: await of.note(of.size, "next"), policyPath: [step] },
      );
      return outcome(made, genesisTrust);
    };
    expect(await judge(one, one.step)).toBe("ok");
    expect(await judge(two, two.step)).toBe("ok");
    expect(await judge(one, two.step)).toBe("not-connected");
    expect(await judge(two, one.step)).toBe("not-connected");
  });

  it("takes no step that is not of the history of the trusted root", async () => {
    const [one, two] = [await moved("next", blocks(2)), await moved("next", blocks(4))];
    const trust = trustAt(one, 2);
    expect(followPolicy(trust, one.step)).toEqual({ ok: false, reason: "not-connected" });
    const step = await makePolicyStep(one.chain, one.size - 1, one.both, trust);
    expect(followPolicy(trust, step)).toMatchObject({ ok: true, trust: { size: one.size } });
    const other = { ...two.step, consistency: consistency(2, two.headers.slice(0, two.size)) };
    expect(followPolicy(trust, other)).toEqual({ ok: false, reason: "not-connected" });
    await expect(makePolicyStep(two.chain, two.size - 1, two.both, trust)).rejects.toMatchObject({
      code: "ERR_PROOF_UNAVAILABLE",
    });
  });

  it("passes over steps that lead to where the trust already is", async () => {
    const one = await moved("next", blocks(3));
    const made = await makeReceipt(
      one.chain,
      { height: 1, transaction: 0, entry: 0 },
      { checkpoint: await one.note(one.size, "next"), policyPath: [one.step] },
    );
    const stepped = followPolicy(genesisTrust, one.step);
    if (!stepped.ok) throw new Error(stepped.reason);
    expect(outcome(made, { ...stepped.trust, policyHeight: one.size })).toBe("ok");
    expect(outcome(made, genesisTrust)).toBe("ok");
  });
});
