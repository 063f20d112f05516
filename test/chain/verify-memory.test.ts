import { beforeAll, describe, expect, it } from "vitest";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { StorageError } from "../../src/errors.ts";
import { exportLedger, verifyExport } from "../../src/chain/export.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { keyEntry } from "../support/forge.ts";
import { bytesFor, signerFor, startLedger, START, type TestLedger } from "../support/ledger.ts";
import { collect } from "../support/ward.ts";

const KEYS = 40;

describe("the memory that verification takes", () => {
  let l: TestLedger;
  let car: Uint8Array[];

  beforeAll(async () => {
    l = await startLedger();
    const { chain, sequencer, signers } = l;
    const a = signers["a"]!;
    for (let seq = 0; seq < KEYS; seq++) {
      const publicKey = bytesFor(`agree ${seq}`);
      publicKey[31]! &= 0x7f;
      const key = { alg: "X25519", publicKey } as const;
      const entries = [await keyEntry(chain.ledger, a.actor, "add", "agree", key)];
      const what = { ledger: chain.ledger, lane: 0, seq, time: START, entries };
      await sequencer.submit(await signTransaction(a, what)).durable;
    }
    const signer = signerFor("checkpoint");
    const { note } = await createCheckpointer({ chain, chains: l.storage.chains!, signer }).sign();
    car = await collect(exportLedger(chain, note));
  });

  // Of three members each itself, its signing and its recovery key; the policy; a lane; the keys filed.
  const values = 3 * 3 + 1 + 1 + KEYS;

  it("is limited, and says so: it is not the ledger that is wrong", async () => {
    const { genesis, storage, chain } = l;
    const chains = storage.chains!;
    expect(await verifyLedger(chains, { genesis, maxState: values })).toMatchObject({ ok: true });
    const refused = { code: "ERR_INPUT_TOO_LARGE", message: expect.stringContaining("scratch") };
    const maxState = values - 1;
    await expect(verifyLedger(chains, { genesis, maxState })).rejects.toMatchObject(refused);
    const { ledger } = chain;
    expect(await verifyExport(car, { ledger, maxState: values })).toMatchObject({ ok: true });
    await expect(verifyExport(car, { ledger, maxState })).rejects.toMatchObject(refused);
  });

  it("has no limit where a store takes the state, with the same result", async () => {
    const { ledger, state } = l.chain;
    const scratch = memoryStorage().state;
    const result = await verifyExport(car, { ledger, scratch, maxState: 1 });
    expect(result).toEqual(await verifyExport(car, { ledger }));
    expect(result).toMatchObject({ ok: true, state: state.root });
    // What is left of the last one is in nobody's way; nor are the ledger's own nodes.
    expect(await verifyExport(car, { ledger, scratch })).toEqual(result);
    expect(await verifyExport(car, { ledger, scratch: l.storage.state! })).toEqual(result);
  });

  it("passes on what the store fails with, and calls no export corrupt for it", async () => {
    const { ledger } = l.chain;
    const { state } = memoryStorage();
    const failed = new StorageError("ERR_STORAGE_FAILED", "no room");
    const failing = {
      ...state,
      caps: { ...state.caps, maxBatch: 8 },
      batch: async (): Promise<never> => {
        throw failed;
      },
    };
    await expect(verifyExport(car, { ledger, scratch: failing })).rejects.toBe(failed);
  });
});
