import { describe, expect, it } from "vitest";
import { openChain } from "../../src/chain/open-chain.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { treeRoot } from "../../src/merkle/tree.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { verifyInclusion } from "../../src/merkle/verify.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { judgeCheckpoint, trustFromGenesis } from "../../src/chain/trust.ts";
import { createWitness } from "../../src/chain/witness.ts";
import { recordEntries, signerFor, START, startLedger } from "../support/ledger.ts";

describe("createSequencer", () => {
  it("records a transaction and gives its place", async () => {
    const { chain, sequencer, signers } = await startLedger();
    const entries = recordEntries(3);
    const signed = await signTransaction(signers["a"]!, {
      ledger: chain.ledger,
      lane: 0,
      seq: 1,
      time: START,
      entries,
    });
    const submission = sequencer.submit(signed);
    expect(submission.state).toBe("queued");
    expect(await submission.durable).toEqual({ height: 0, transaction: 0 });
    expect(submission.state).toBe("durable");
    const { block } = await chain.readBlock(0);
    expect(block.transactions[0]!.entries).toEqual(entries);
    expect(chain.root).toEqual(treeRoot([leafHash(block.header)]));
  });

  it("puts what waits together into one block, and gives the same place twice", async () => {
    const { chain, sequencer, signers } = await startLedger();
    const all = await Promise.all(
      [1, 2, 3, 4, 5].map((seq) =>
        signTransaction(signers["b"]!, {
          ledger: chain.ledger,
          lane: 7,
          seq,
          time: START,
          entries: recordEntries(2),
        }),
      ),
    );
    const first = await Promise.all(all.map((signed) => sequencer.submit(signed).durable));
    expect(first.map(({ height }) => height)).toEqual([0, 0, 0, 0, 0]);
    expect(first.map(({ transaction }) => transaction)).toEqual([0, 1, 2, 3, 4]);
    const again = await Promise.all(all.map((signed) => sequencer.submit(signed).durable));
    expect(again).toEqual(first);
    expect(chain.size).toBe(1);
  });

  it("refuses another transaction under a used sequence number", async () => {
    const { chain, sequencer, signers } = await startLedger();
    const sign = (entries: Uint8Array[]) =>
      signTransaction(signers["a"]!, {
        ledger: chain.ledger,
        lane: 0,
        seq: 5,
        time: START,
        entries,
      });
    await sequencer.submit(await sign(recordEntries(1))).durable;
    const other = sequencer.submit(await sign(recordEntries(1)));
    await expect(other.durable).rejects.toMatchObject({
      code: "ERR_CHAIN_REFUSED",
      refused: { reason: "replayed-sequence" },
    });
    expect(other.state).toBe("refused");
  });

  it("goes on at the new head when another sequencer was faster", async () => {
    const storage = memoryStorage();
    const one = await startLedger({ storage });
    const two = await startLedger({ storage, proposer: "b" });
    const write = async (ledger: typeof one, name: string, seq: number) => {
      const signed = await signTransaction(ledger.signers[name]!, {
        ledger: ledger.chain.ledger,
        lane: 0,
        seq,
        time: START,
        entries: recordEntries(1),
      });
      return ledger.sequencer.submit(signed).durable;
    };
    for (let seq = 0; seq < 20; seq++) {
      await Promise.all([write(one, "a", seq), write(two, "b", seq)]);
    }
    expect(await one.chain.refresh()).toBe(40);
    expect(await two.chain.refresh()).toBe(40);
    expect(one.chain.root).toEqual(two.chain.root);
    expect(one.chain.state.root).toEqual(two.chain.state.root);
  });

  it("opens where it was left, with proofs of every block", async () => {
    const storage = memoryStorage();
    const first = await startLedger({ storage });
    for (let seq = 0; seq < 9; seq++) {
      const signed = await signTransaction(first.signers["a"]!, {
        ledger: first.chain.ledger,
        lane: 0,
        seq,
        time: START,
        entries: recordEntries(1),
      });
      await first.sequencer.submit(signed).durable;
    }
    const again = await openChain({ storage, genesis: first.genesis });
    expect(again.size).toBe(9);
    expect(again.root).toEqual(first.chain.root);
    expect(again.state.root).toEqual(first.chain.state.root);
    for (let height = 0; height < 9; height++) {
      const { block } = await again.readBlock(height);
      const proof = await again.proveInclusion(height, 9);
      expect(
        verifyInclusion({
          index: height,
          size: 9,
          leafHash: leafHash(block.header),
          proof,
          root: again.root,
        }),
      ).toEqual({ ok: true });
    }
    const sequencer = createSequencer({
      chain: again,
      storage,
      signer: first.signers["b"]!,
      now: () => START,
    });
    expect(await sequencer.seal()).toEqual({ height: 9, transaction: 0 });
  });
});

describe("Submission", () => {
  it("is queued, durable, checkpointed, and witnessed once the policy's witness has signed", async () => {
    const witnessKey = signerFor("witness");
    const cosigner = { name: "witness.example/w", publicKey: witnessKey.publicKey };
    const { chain, signers, storage } = await startLedger({
      policy: {
        cosignaturePolicy: {
          validators: { required: 0, keys: [] },
          witnesses: { required: 1, keys: [cosigner] },
        },
      },
    });
    const chains = storage.chains!;
    const witness = createWitness({
      chains: memoryStorage().chains,
      signer: witnessKey,
      name: cosigner.name,
      origin: chain.genesis.origin,
      keys: chain.genesis.checkpointKeys.map((key) =>
        noteKey(chain.genesis.origin, NOTE_ED25519, key),
      ),
      now: () => START,
    });
    let reachable = false;
    const checkpointer = createCheckpointer({
      chain,
      chains,
      signer: signerFor("checkpoint"),
      witnesses: [
        {
          cosign: (...asked) =>
            reachable ? witness.cosign(...asked) : Promise.reject(new Error("unreachable")),
        },
      ],
    });
    const sequencer = createSequencer({
      chain,
      storage,
      signer: signers["a"]!,
      now: () => START,
      checkpointer,
    });
    const write = async (seq: number) =>
      sequencer.submit(
        await signTransaction(signers["a"]!, {
          ledger: chain.ledger,
          lane: 0,
          seq,
          time: START,
          entries: recordEntries(1),
        }),
      );
    const first = await write(0);
    expect(first.state).toBe("queued");
    await first.durable;
    expect(first.state).toBe("durable");
    expect(await first.checkpointed()).toMatchObject({ height: 0, witnessed: false });
    expect(first.state).toBe("checkpointed");
    reachable = true;
    for (const seq of [1, 2, 3]) {
      const next = await write(seq);
      const { checkpoint, witnessed } = await next.checkpointed();
      expect(witnessed).toBe(true);
      expect(next.state).toBe("witnessed");
      const trust = trustFromGenesis(chain.genesisBytes);
      expect(judgeCheckpoint(checkpoint, trust)).toMatchObject({
        ok: true,
        witnesses: [cosigner.name],
        checkpoint: { size: seq + 1 },
      });
    }
  });
});
