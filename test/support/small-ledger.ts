import { cosignatureSigner, encodeCheckpoint } from "../../src/chain/checkpoint-note.ts";
import { encodeBlockRecord } from "../../src/chain/block-record.ts";
import { blocksChain } from "../../src/chain/chain.ts";
import { noteSigner, signNote } from "../../src/chain/note.ts";
import type { KindRule } from "../../src/chain/kind-rule.ts";
import { encodeEntry } from "../../src/block/entry.ts";
import { readBlock } from "../../src/chain/apply-block.ts";
import { cidOf, DAG_CBOR, RAW } from "../../src/codec/cid.ts";
import { appendLeaf, emptyFrontier, frontierRoot } from "../../src/merkle/frontier.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { memoryStorage } from "../../src/storage/memory.ts";
import type { ChainStore } from "../../src/storage/types.ts";
import { createForge, keyEntry, memberEntry, policyEntry, salt, type Forge } from "./forge.ts";
import { bytesFor, foundLedger, recordEntries, signerFor, START } from "./ledger.ts";

const RULE = cidOf(bytesFor("small rule"), RAW);
export const smallRule: KindRule = { name: "note", rule: RULE, check: () => true };

const cosigner = (name: string) => ({ name, publicKey: signerFor(name).publicKey });

/**
 * Four blocks by two proposers and three authors, with every kind of entry in them, and a
 * checkpoint with a validator's and two witnesses' cosignatures, of which one is required.
 */
export async function smallLedger(): Promise<{
  readonly genesis: Uint8Array;
  readonly forge: Forge;
  readonly records: readonly Uint8Array[];
  readonly note: Uint8Array;
  readonly root: Uint8Array;
}> {
  const { genesis, parsed, signers } = await foundLedger(
    { a: ["custodian", "sequencer"], b: ["custodian", "sequencer"], c: ["auditor"] },
    {
      kinds: [{ name: "note", rule: RULE }],
      cosignaturePolicy: {
        validators: { required: 0, keys: [cosigner("v.example")] },
        witnesses: {
          required: 1,
          keys: [cosigner("w1.example"), cosigner("w2.example")],
          minority: true,
        },
      },
    },
  );
  const { a, b, c } = signers as Record<"a" | "b" | "c", ReturnType<typeof signerFor>>;
  const forge = await createForge(genesis, a, [smallRule]);
  const { ledger } = forge;
  const body = cidOf(bytesFor("body"), DAG_CBOR);
  await forge.add(await forge.tx(a, recordEntries(2)), await forge.tx(b, recordEntries(1)));
  const added = signerFor("a2", a.actor);
  await forge.push(
    await forge.block(
      [
        await forge.tx(c, [
          await keyEntry(ledger, c.actor, "add", "sign", signerFor("c2", c.actor)),
          await policyEntry(ledger, { maxDrift: 30_000 }, [a, c]),
        ]),
        await forge.tx(a, [
          await keyEntry(ledger, a.actor, "add", "sign", added),
          encodeEntry({ kind: "note", v: 1, salt: salt(), fields: { n: 1 } }),
        ]),
      ],
      { signer: b },
    ),
  );
  await forge.add(
    await forge.tx(added, [
      await keyEntry(ledger, a.actor, "retire", "sign", a),
      encodeEntry({ v: 1, kind: "erase", salt: salt(), class: "clinical", body }),
      encodeEntry({ v: 1, kind: "link", salt: salt(), body }),
      await memberEntry(ledger, [{ op: "roles", actor: c.actor, roles: [] }], [a, b]),
    ]),
  );
  await forge.push(await forge.block([], { signer: b }));

  let frontier = emptyFrontier;
  const records = forge.blocks.map((block) => {
    frontier = appendLeaf(frontier, leafHash(readBlock(block)!.header)).frontier;
    return encodeBlockRecord({ block, peaks: frontier.peaks });
  });
  const root = frontierRoot(frontier);
  const text = encodeCheckpoint({ origin: parsed.origin, size: records.length, root });
  const note = await signNote(text, [
    noteSigner(signerFor("checkpoint"), parsed.origin),
    ...["v.example", "w1.example", "w2.example"].map((name) =>
      cosignatureSigner(signerFor(name), name, () => START),
    ),
  ]);
  return { genesis, forge, records, note, root };
}

/** A store that holds these records as a ledger's blocks. */
export async function storeOf(forge: Forge, records: readonly Uint8Array[]): Promise<ChainStore> {
  const { chains } = memoryStorage();
  if (records.length > 0) {
    await chains.append(blocksChain(forge.ledger), { size: 0, hash: null }, records);
  }
  return chains;
}

/** A copy with one bit flipped. */
export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice();
  flipped[bit >> 3]! ^= 1 << (bit & 7);
  return flipped;
}
