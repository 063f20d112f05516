// A process of its own for lmdb-rot.crash.ts, which LMDB may end on a damaged page: makes a ledger
// (`make <path>`), or reads all of one and prints what it found (`read <path>`).
import { bytesFor, foundLedger, recordEntries, START } from "../support/ledger.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { verifyLedger } from "../../src/chain/verify-ledger.ts";
import { toHex } from "../../src/bytes/hex.ts";
import { cidOf, DAG_CBOR, matchesCid } from "../../src/codec/cid.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";

const [mode, path] = process.argv.slice(2) as [string, string];
const BLOCKS = 12;
const BLOBS = 60;
const { genesis, signers } = await foundLedger({ a: ["custodian", "sequencer"] }, { threshold: 1 });

const contents = Array.from({ length: BLOBS }, (_, i) => {
  const bytes = new Uint8Array(400 + 97 * i);
  for (let at = 0; at < bytes.length; at += 32) {
    bytes.set(bytesFor(`${i}/${at}`).subarray(0, bytes.length - at), at);
  }
  return { cid: cidOf(bytes, DAG_CBOR), bytes };
});

/** What was found, in one word and its reason. */
async function look(): Promise<string> {
  const storage = await lmdbStorage({ path });
  const verified = await verifyLedger(storage.chains, { genesis });
  if (!verified.ok) return `named ${JSON.stringify(verified)}`;
  const chain = await openChain({ storage, genesis });
  if (chain.size !== verified.size) return "WRONG size";
  for (let height = 0; height < chain.size; height++) await chain.readBlock(height);
  const got = await storage.blobs.getMany(contents.map(({ cid }) => cid));
  for (const [i, bytes] of got.entries()) {
    if (bytes === undefined) return `named blob ${i} is missing`;
    // The library hashes every blob that it reads.
    if (!matchesCid(contents[i]!.cid, bytes)) return `named blob ${i} is not what its CID says`;
  }
  const result = `whole ${verified.size} ${toHex(verified.root)}`;
  await storage.close();
  return result;
}

if (mode === "make") {
  const storage = await lmdbStorage({ path });
  const chain = await openChain({ storage, genesis });
  const signer = signers["a"]!;
  const sequencer = createSequencer({ chain, storage, signer, now: () => START });
  for (let seq = 0; seq < BLOCKS; seq++) {
    const what = { ledger: chain.ledger, lane: 0, seq, time: START, entries: recordEntries(5) };
    await (
      await sequencer.submit(await signTransaction(signer, what))
    ).durable;
    await storage.blobs.put(contents.slice(seq * 5, seq * 5 + 5));
  }
  await sequencer.close();
  await chain.close();
  await storage.close();
}

const line = await look().catch((error: unknown) => {
  const { code, name } = Object(error) as { code?: unknown; name?: string };
  return `named ${String(name)} ${String(code)} ${String(error)}`;
});
process.stdout.write(`${line.replaceAll("\n", " ").slice(0, 300)}\n`, () => process.exit(0));
