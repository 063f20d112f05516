import { createInterface } from "node:readline";
import pg from "pg";
import { toHex } from "../../src/bytes/hex.ts";
import { encodeSubjectEntry } from "../../src/block/subject-entry.ts";
import { signTransaction } from "../../src/block/transaction.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { createSequencer } from "../../src/chain/sequencer.ts";
import { TransactionRefused } from "../../src/chain/submission.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { StorageError } from "../../src/errors.ts";
import { postgresStorage } from "../../src/storage/postgres.ts";
import { bytesFor, signerFor, START } from "../support/ledger.ts";
import { writerGenesis } from "./written.ts";

/**
 * A sequencer of its own that appends to a ledger in PostgreSQL until it is told to stop, whatever
 * becomes of the server. Says `ack <tx hash> <height> <index> <blob>` and `note <size> <root>`.
 *
 * Arguments: port, schema, proposer, lane.
 */
const [port, schema, proposer, laneText] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
];

const lane = Number(laneText);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
let stopping = false;
createInterface({ input: process.stdin }).on("line", () => (stopping = true));

const pool = new pg.Pool({
  host: "127.0.0.1",
  port: Number(port),
  user: "postgres",
  database: "postgres",
  max: 3,
});
pool.on("error", () => {});

let failures = 0;
/** Again until the server is there; what is not the storage's error ends the process. */
async function persistently<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof StorageError) || error instanceof TransactionRefused) throw error;
      if (error.code !== "ERR_STORAGE_FAILED" && error.code !== "ERR_STORAGE_AMBIGUOUS")
        throw error;
      failures++;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

const { genesis, signers } = await writerGenesis();
const signer = signers[proposer]!;
const storage = await persistently(() => postgresStorage({ pool, schema }));
const chain = await persistently(() => openChain({ storage, genesis }));
// As `openLedger` has it.
const backoff = () => new Promise<void>((resolve) => setTimeout(resolve, 32 * Math.random()));
const sequencer = createSequencer({ chain, storage, signer, now: () => START, backoff });
const checkpointer = createCheckpointer({
  chain,
  chains: storage.chains,
  signer: signerFor("checkpoint"),
});
say("ready");

async function write(onLane: number, seq: number): Promise<void> {
  const blob = bytesFor(`blob ${onLane} ${seq}`);
  const cid = cidOf(blob, DAG_CBOR);
  const salt = bytesFor(`salt ${onLane} ${seq}`).slice(0, 16);
  const entries = [encodeSubjectEntry("record", salt, bytesFor(`tag ${onLane} ${seq}`), cid)];
  const { ledger } = chain;
  const signed = await signTransaction(signer, { ledger, lane: onLane, seq, time: START, entries });
  const attachments = { blobs: [{ cid, bytes: blob }] };
  await persistently(async () => {
    // The same transaction again: it gets the place that it has, if it has one.
    const submission = sequencer.submit(signed, attachments);
    const { height, transaction } = await submission.durable;
    say(`ack ${toHex(submission.hash)} ${height} ${transaction} ${cid.toString()}`);
  });
}

for (let seq = 0; !stopping; seq++) {
  await Promise.all([write(lane, seq), write(lane + 100, seq), write(lane + 200, seq)]);
  if (seq % 5 === 0) {
    const { size, root } = await persistently(() => checkpointer.sign());
    say(`note ${size} ${toHex(root)}`);
  }
}
await sequencer.close();
await persistently(() => chain.close());
await storage.close();
await pool.end();
say(`end ${failures}`);
process.exit(0);
