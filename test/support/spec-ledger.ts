import { encodeBlock } from "../../src/block/block.ts";
import { encodeEntry, entryId } from "../../src/block/entry.ts";
import { encodeGenesis, ledgerId, type Genesis } from "../../src/block/genesis.ts";
import { subjectTag } from "../../src/block/tag.ts";
import { utf8ToBytes } from "../../src/bytes/utf8.ts";
import { readBlock } from "../../src/chain/apply-block.ts";
import { encodeBlockRecord } from "../../src/chain/block-record.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { openChain } from "../../src/chain/open-chain.ts";
import { createCheckpointer } from "../../src/chain/checkpointer.ts";
import { exportLedger } from "../../src/chain/export.ts";
import { describeMember } from "../../src/chain/founding.ts";
import { POLICY_KEY, seqKey } from "../../src/chain/state.ts";
import { cidOf, DAG_CBOR } from "../../src/codec/cid.ts";
import { appendLeaf, emptyFrontier } from "../../src/merkle/frontier.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import { makePolicyStep, makeReceipt } from "../../src/chain/make-receipt.ts";
import { encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import { createForge, policyEntry } from "./forge.ts";

const fill = (byte: number, length = 32): Uint8Array => new Uint8Array(length).fill(byte);

/** The ledger that the pages on ledger, receipt and export take as their example. */
export async function specLedger(): Promise<Record<string, Uint8Array>> {
  const member = memorySigner({ alg: "Ed25519", secret: fill(1) });
  const checkpoint = memorySigner({ alg: "Ed25519", secret: fill(3) });
  const nonce = fill(0xaa);
  const description: Genesis = {
    v: 1,
    origin: "ledger.example/hospital-a",
    nonce,
    members: [await describeMember({ sign: [member] }, ["custodian", "sequencer"], nonce)],
    threshold: 1,
    maxDrift: 60_000,
    maxTxAge: 600_000,
    checkpointKeys: [checkpoint.publicKey],
    cosignaturePolicy: {
      validators: { required: 0, keys: [] },
      witnesses: { required: 0, keys: [] },
    },
    kinds: [],
    contracts: [],
  };
  const genesis = encodeGenesis(description);
  const ledger = ledgerId(genesis);
  const time = 1_767_225_600_000;
  const body = cidOf(utf8ToBytes("envelope"), DAG_CBOR);
  const salt = fill(0xbb, 16);
  const tagContext = { ledger, author: member.actor, kind: "record", salt, body };
  const subject = subjectTag(fill(0xcc), tagContext);
  const record = encodeEntry({ v: 1, kind: "record", salt, subject, body });
  const erase = encodeEntry({
    v: 1,
    kind: "erase",
    salt: fill(0xdd, 16),
    class: "clinical",
    body: cidOf(utf8ToBytes("report"), DAG_CBOR),
  });

  const forge = await createForge(genesis, member);
  const before = forge.state.get(POLICY_KEY)!;
  const tx = await forge.tx(member, [record, erase], { time });
  await forge.push(await forge.block([tx], { time }));
  const block = readBlock(forge.blocks[0]!)!;
  const blockRecord = encodeBlockRecord({
    block: forge.blocks[0]!,
    peaks: [leafHash(block.header)],
  });

  const storage = memoryStorage();
  await storage.chains.append(blocksChain(ledger), { size: 0, hash: null }, [blockRecord]);
  const chain = await openChain({ storage, genesis });
  const { note } = await createCheckpointer({
    chain,
    chains: storage.chains,
    signer: checkpoint,
  }).sign();
  await chain.state.load([seqKey(member.key, 0)]);
  const place = { height: 0, transaction: 0, entry: 0 };
  const car: Uint8Array[] = [];
  for await (const chunk of exportLedger(chain, note)) car.push(chunk);
  return {
    genesis,
    "ledger id": ledger.bytes,
    "record entry": record,
    "erase entry": erase,
    "entry id": entryId(ledger, member.actor, record),
    tag: subject,
    transaction: tx.tx,
    "transaction signature": tx.sig,
    header: block.header,
    "header signature": block.sig,
    block: encodeBlock(block),
    "block record": blockRecord,
    "sys/policy": before,
    "sys/seq": chain.state.get(seqKey(member.key, 0))!,
    "state after the block": chain.state.root,
    checkpoint: note,
    receipt: await makeReceipt(chain, place, { checkpoint: note }),
    export: new Uint8Array(Buffer.concat(car)),
  };
}

/**
 * A receipt of the example's record entry from when the ledger has moved on: block 1 changes the
 * checkpoint key, the key before and the new one sign at size 3, the new one alone at size 4.
 */
export async function specPolicyReceipt(): Promise<Uint8Array> {
  const made = await specLedger();
  const genesis = made["genesis"]!;
  const member = memorySigner({ alg: "Ed25519", secret: fill(1) });
  const [old, next] = [3, 4].map((byte) => memorySigner({ alg: "Ed25519", secret: fill(byte) }));
  const time = 1_767_225_600_000;
  const forge = await createForge(genesis, member);
  await forge.push(made["block"]!);
  const entry = await policyEntry(forge.ledger, { checkpointKeys: [next!.publicKey] }, [member], {
    salt: fill(0xee, 16),
    nonce: fill(0xff, 16),
    notAfter: 9,
  });
  const tx = await forge.tx(member, [entry], { seq: 1, time });
  await forge.push(await forge.block([tx], { time }));
  for (let height = 2; height < 4; height++) await forge.push(await forge.block([], { time }));

  const storage = memoryStorage();
  let frontier = emptyFrontier;
  const records = forge.blocks.map((block) => {
    frontier = appendLeaf(frontier, leafHash(readBlock(block)!.header)).frontier;
    return encodeBlockRecord({ block, peaks: frontier.peaks });
  });
  await storage.chains.append(blocksChain(forge.ledger), { size: 0, hash: null }, records);
  const chain = await openChain({ storage, genesis });
  const { origin } = chain.genesis;
  const note = async (size: number, ...by: (typeof member)[]) =>
    signNote(
      encodeCheckpoint({ origin, size, root: await chain.rootAt(size) }),
      by.map((signer) => noteSigner(signer, origin)),
    );
  return makeReceipt(
    chain,
    { height: 0, transaction: 0, entry: 0 },
    {
      checkpoint: await note(4, next!),
      policyPath: [await makePolicyStep(chain, 2, await note(3, old!, next!))],
    },
  );
}
