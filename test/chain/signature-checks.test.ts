import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { signTransaction, type TransactionWithEntries } from "../../src/block/transaction.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { isRefused, isSignedBy, prepareTransaction } from "../../src/chain/prepare.ts";
import { TransactionRefused } from "../../src/chain/submission.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { memoryKeys } from "../../src/identity/key-store.ts";
import { memorySigner, type Signer } from "../../src/identity/signer.ts";
import { bytesFor, recordEntries, START, startLedger, type TestLedger } from "../support/ledger.ts";

let seq = 0;
const sign = (ledger: TestLedger, signer: Signer = ledger.signers["a"]!, lane = 0) =>
  signTransaction(signer, {
    ...{ ledger: ledger.chain.ledger, lane, seq: seq++, time: START },
    entries: recordEntries(1),
  });

/** The transaction as it arrives from elsewhere. */
const received = ({ tx, alg, sig, entries }: TransactionWithEntries): TransactionWithEntries => ({
  tx: tx.slice(),
  alg,
  sig: sig.slice(),
  entries: entries.map((entry) => entry.slice()),
});

const flipped = (bytes: Uint8Array, at: number): Uint8Array => {
  const changed = bytes.slice();
  changed[at % bytes.length]! ^= 1 << (at % 8);
  return changed;
};

/** A signer like an HSM that now and then returns a wrong signature. */
function faulty(inner: Signer, isWrong: () => boolean): Signer {
  return {
    ...inner,
    async sign(bytes) {
      const signature = await inner.sign(bytes);
      return isWrong() ? flipped(signature, 40) : signature;
    },
  };
}

const isWhole = async ({ storage, genesis }: TestLedger) =>
  (await verifyLedger(storage.chains!, { genesis })).ok;

async function outcomeOf(ledger: TestLedger, signed: TransactionWithEntries): Promise<string> {
  try {
    await ledger.sequencer.submit(signed).durable;
    return "recorded";
  } catch (error) {
    if (!(error instanceof TransactionRefused)) throw error;
    return error.refused.reason;
  }
}

describe("a block's header", () => {
  it("with a signature that is not valid is never appended", async () => {
    const ledger = await startLedger();
    const { chain, storage, signers } = ledger;
    let wrong = true;
    for (const signer of [
      faulty(signers["a"]!, () => wrong),
      Object.assign(memorySigner({ alg: "Ed25519", secret: bytesFor("a") }), {
        sign: faulty(signers["a"]!, () => wrong).sign,
      }),
      { ...signers["a"]!, sign: (bytes: Uint8Array) => signers["b"]!.sign(bytes) },
      Object.assign(memorySigner({ alg: "Ed25519", secret: bytesFor("a") }), {
        alg: "ES256" as const,
      }),
    ]) {
      wrong = true;
      const before = chain.size;
      const sequencer = createSequencer({ chain, storage, signer, now: () => START });
      const error = { code: "ERR_SIGNATURE_INVALID" };
      await expect(sequencer.seal()).rejects.toMatchObject(error);
      await expect(sequencer.submit(await sign(ledger)).durable).rejects.toMatchObject(error);
      expect((await storage.chains!.head(blocksChain(chain.ledger))).size).toBe(before);
      wrong = false;
      await createSequencer({ chain, storage, signer: signers["a"]!, now: () => START }).seal();
    }
    expect(chain.size).toBe(4);
    expect(await isWhole(ledger)).toBe(true);
  });
});

describe("a transaction's signature", () => {
  it("is refused if the signer gave a wrong one, and the next is recorded", async () => {
    const ledger = await startLedger();
    let wrong = true;
    const signer = faulty(ledger.signers["a"]!, () => wrong);
    await expect(sign(ledger, signer)).rejects.toMatchObject({ code: "ERR_SIGNATURE_INVALID" });
    wrong = false;
    expect(await outcomeOf(ledger, await sign(ledger, signer))).toBe("recorded");
    expect(await isWhole(ledger)).toBe(true);
  });

  it("is checked if anything was changed since this process made it", async () => {
    const ledger = await startLedger();
    const own = ledger.signers["a"]!;
    const changedSig = await sign(ledger);
    changedSig.sig[3]! ^= 4;
    const changedTx = await sign(ledger);
    // The last byte of the time, so that the transaction is still well formed.
    const time = Buffer.from(changedTx.tx).indexOf(Buffer.from("6474696d65", "hex")) + 13;
    changedTx.tx[time]! ^= 1;
    const swapped = memorySigner({ alg: "Ed25519", secret: bytesFor("a") });
    Object.assign(swapped, { sign: ledger.signers["b"]!.sign });
    const renamed = memorySigner({ alg: "Ed25519", secret: bytesFor("b") });
    Object.assign(renamed, { actor: own.actor, key: own.key, publicKey: own.publicKey });
    for (const signed of [changedSig, changedTx]) {
      expect(await outcomeOf(ledger, signed)).toBe("bad-signature");
    }
    for (const signer of [swapped, renamed]) {
      await expect(sign(ledger, signer)).rejects.toMatchObject({ code: "ERR_SIGNATURE_INVALID" });
    }
    expect(await outcomeOf(ledger, await sign(ledger))).toBe("recorded");
    expect(await isWhole(ledger)).toBe(true);
  });

  it("comes from no key store after it was closed, while a signature is asked for", async () => {
    const keys = memoryKeys();
    await keys.add({ use: "sign", secret: bytesFor("a") });
    const ledger = await startLedger();
    const signer = keys.signer();
    const asked = sign(ledger, signer);
    const closing = keys.close();
    const late = sign(ledger, signer);
    await expect(late).rejects.toMatchObject({ code: "ERR_SIGNATURE_KEYSTORE" });
    await closing;
    expect(await outcomeOf(ledger, await asked)).toBe("recorded");
    expect(await isWhole(ledger)).toBe(true);
  });

  it("has the verdict of a check one at a time, whatever waits together", { timeout: 60_000 }, () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ at: fc.nat(600), bad: fc.nat(3), name: fc.nat(1) }), {
          minLength: 1,
          maxLength: 40,
        }),
        async (cases) => {
          const ledger = await startLedger();
          const { chain } = ledger;
          // So that the state has the keys of both.
          for (const name of ["a", "b"]) {
            await ledger.sequencer.submit(await sign(ledger, ledger.signers[name]!)).durable;
          }
          const all = await Promise.all(
            cases.map(async ({ at, bad, name }, lane) => {
              const signed = received(await sign(ledger, ledger.signers["ab"[name]!]!, lane));
              if (bad === 0) return { ...signed, sig: flipped(signed.sig, at) };
              if (bad === 1) return { ...signed, alg: "ES256" as const };
              return signed;
            }),
          );
          const expected = all.map((signed) => {
            const prepared = prepareTransaction(signed, chain.ledger, chain.rules);
            if (isRefused(prepared)) return prepared.reason;
            const key = chain.state.key(prepared.transaction.key)!;
            return isSignedBy(prepared, key) ? "recorded" : "bad-signature";
          });
          expect(await Promise.all(all.map((one) => outcomeOf(ledger, one)))).toEqual(expected);
          expect(await isWhole(ledger)).toBe(true);
        },
      ),
      { numRuns: 15 },
    ),
  );
});
