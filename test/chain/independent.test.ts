import { readFileSync } from "node:fs";
import { encode } from "@ipld/dag-cbor";
import { describe, expect, it } from "vitest";
import {
  cid,
  genesisState,
  mapRoot,
  read,
  readNote,
  readReceipt,
  readRecords,
  same,
} from "../support/independent-ledger.ts";
import { mth } from "../support/rfc9162.ts";
// Only to produce bytes.
import { entryId } from "../../src/block/entry.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { makeReceipt } from "../../src/chain/make-receipt.ts";
import { recordEntries, signerFor, START, startLedger } from "../support/ledger.ts";

const unhex = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));

describe("a second implementation", () => {
  it("reads a stored ledger: blocks, signatures, roots, state, entry ids, receipts", async () => {
    const { chain, sequencer, signers, storage, genesis } = await startLedger();
    const all: Uint8Array[][] = [];
    const names = ["a", "b", "a", "b", "b"];
    for (const [seq, name] of names.entries()) {
      const entries = recordEntries(seq + 1);
      all.push(entries);
      const tx = await signTransaction(signers[name]!, {
        ledger: chain.ledger,
        lane: seq % 2,
        seq,
        time: START,
        entries,
      });
      await sequencer.submit(tx).durable;
    }
    const signer = signerFor("checkpoint");
    const { note } = await createCheckpointer({ chain, chains: storage.chains!, signer }).sign();
    const records: Uint8Array[] = [];
    for await (const { record } of storage.chains!.read(blocksChain(chain.ledger), { from: 0 })) {
      records.push(record);
    }

    const { headers, transactions } = readRecords(genesis, records);
    expect(readNote(note, signer.publicKey)).toEqual({ size: 5, root: mth(headers) });
    const state = genesisState(genesis);
    for (const [height, header] of headers.entries()) {
      expect(same(read(header)["state"] as Uint8Array, mapRoot(state))).toBe(true);
      const [tx] = transactions[height]!;
      state.set(`sys/seq/${tx!.key}/${tx!.lane}`, encode(tx!.seq));
      expect(tx!.kinds.every((kind) => kind === "record")).toBe(true);
      const { actor } = signers[names[height]!]!;
      const ids = all[height]!.map((entry) => entryId(chain.ledger, actor, entry));
      expect(tx!.entryIds).toEqual(ids.map((id) => Buffer.from(id).toString("hex")));
    }
    expect(same(chain.state.root, mapRoot(state))).toBe(true);
    for (let height = 0; height < 5; height++) {
      for (let entry = 0; entry <= height; entry++) {
        const place = { height, transaction: 0, entry };
        const receipt = await makeReceipt(chain, place, { checkpoint: note });
        expect(readReceipt(receipt, genesis)).toMatchObject({
          height,
          author: signers[names[height]!]!.actor,
        });
      }
    }
  });

  it("reads the fixtures of format v1", () => {
    const fixture = JSON.parse(
      readFileSync(new URL("../fixtures/format/v1/ledger.json", import.meta.url), "utf8"),
    ) as Record<"ledger" | "genesis" | "root" | "checkpoint" | "receipt" | "author", string> & {
      records: string[];
    };
    const genesis = unhex(fixture.genesis);
    expect(String(cid(genesis))).toBe(fixture.ledger);
    const { headers, transactions } = readRecords(genesis, fixture.records.map(unhex));
    expect(mth(headers)).toEqual(unhex(fixture.root));
    expect(transactions.flat().flatMap(({ kinds }) => kinds)).toEqual([
      ...["record", "consent", "access", "erase", "link", "lab-order"],
      ...["policy", "member", "key", "key", "key"],
    ]);
    const pub = (read(genesis)["checkpointKeys"] as Uint8Array[])[0]!;
    expect(readNote(unhex(fixture.checkpoint), pub)).toEqual({ size: 4, root: mth(headers) });
    expect(readReceipt(unhex(fixture.receipt), genesis)).toMatchObject({
      author: fixture.author,
      height: 0,
    });
    expect(mapRoot(genesisState(genesis))).toEqual(read(headers[0]!)["state"]);
  });
});
