import { openSync, writeSync } from "node:fs";
import { once } from "node:events";
import { toHex } from "../../src/bytes/hex.ts";
import { encodeSubjectEntry } from "../../src/block/subject-entry.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { lmdbStorage } from "../../src/storage/lmdb.ts";
import { bytesFor, signerFor, START } from "../support/ledger.ts";
import { crashGenesis } from "./parties.ts";

/**
 * Appends to a ledger in LMDB until it is killed, or so many transactions are durable. What was
 * acknowledged goes to a file before the next step: `ack <tx hash> <height> <index> <blob>`,
 * `note <size> <root>`.
 *
 * Arguments: folder, file for acknowledgements, proposer, lane, number of transactions (0: for ever).
 */
const [path, ackFile, proposer, laneText, countText] = process.argv.slice(2) as string[];
const lane = Number(laneText);
const count = Number(countText) || Infinity;
const acks = openSync(ackFile!, "a");
const say = (line: string): void => void writeSync(acks, `${line}\n`);

console.log("opening");
const { genesis, signers } = await crashGenesis();
const storage = await lmdbStorage({ path: path! });
const chain = await openChain({ storage, genesis });
const signer = signers[proposer!]!;
const sequencer = createSequencer({ chain, storage, signer, now: () => START });
const checkpointer = createCheckpointer({
  chain,
  chains: storage.chains,
  signer: signerFor("checkpoint"),
});
console.log("ready");
if (count !== Infinity) await once(process.stdin, "data");

/** The same bytes whoever makes them. */
async function transaction(author: typeof signer, onLane: number, seq: number) {
  const blob = bytesFor(`blob ${onLane} ${seq}`);
  const cid = cidOf(blob, DAG_CBOR);
  const entries = Array.from({ length: 1 + (seq % 3) }, (_, i) =>
    encodeSubjectEntry(
      "record",
      bytesFor(`salt ${onLane} ${seq} ${i}`).slice(0, 16),
      bytesFor(`tag ${onLane} ${seq} ${i}`),
      cid,
    ),
  );
  const { ledger } = chain;
  const signed = await signTransaction(author, { ledger, lane: onLane, seq, time: START, entries });
  return { signed, blob, cid };
}

async function write(author: typeof signer, onLane: number, seq: number): Promise<void> {
  const { signed, blob, cid } = await transaction(author, onLane, seq);
  await sequencer.ready();
  const attachments = {
    blobs: [{ cid, bytes: blob }],
    state: [{ key: blob.slice(0, 8), value: blob }],
  };
  const submission = sequencer.submit(signed, attachments);
  const { height, transaction: index } = await submission.durable;
  say(`ack ${toHex(submission.hash)} ${height} ${index} ${cid.toString()}`);
}

const SHARED_LANE = 1023;
for (let seq = 0; seq < count; seq++) {
  const writes = [write(signer, lane, seq)];
  // Now and then some at once; and, with an end in sight, ones that another process sends as well.
  if (seq % 4 === 0) {
    for (let i = 1; i < 5; i++) writes.push(write(signer, 200 + lane * 5 + i, seq));
  }
  if (count !== Infinity && seq < 10) writes.push(write(signers["a"]!, SHARED_LANE, seq));
  await Promise.all(writes);
  if (seq % 3 === 0) {
    const { size, root } = await checkpointer.sign();
    say(`note ${size} ${toHex(root)}`);
  }
}
await sequencer.close();
await chain.close();
await storage.close();
process.exit(0);
