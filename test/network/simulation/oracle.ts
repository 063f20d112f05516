import { verify } from "node:crypto";
import { decode, encode } from "@ipld/dag-cbor";
import type { CID } from "multiformats/cid";
import type { MemoryData } from "../../../src/storage/memory.ts";
import { ed25519, type Fields } from "../../support/independent-ledger.ts";
import { hash, mth } from "../../support/rfc9162.ts";

// What is true, found out without the library: CBOR by @ipld/dag-cbor, hashes and signatures by node:crypto.

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** A store's blocks, as they lie there. */
export interface History {
  /** Encoded blocks. */
  readonly blocks: readonly Uint8Array[];
  readonly headers: readonly Uint8Array[];
  rootAt(size: number): string;
}

/** Reads the blocks of a ledger in a store, each once. */
export function historyOf(data: MemoryData, ledger: string): () => History {
  const blocks: Uint8Array[] = [];
  const headers: Uint8Array[] = [];
  const roots = new Map<number, string>();
  const rootAt = (size: number): string => {
    let root = roots.get(size);
    if (root === undefined) roots.set(size, (root = hex(mth(headers.slice(0, size)))));
    return root;
  };
  return () => {
    const records = data.chains.get(`${ledger}/blocks`)?.records ?? [];
    for (const record of records.slice(blocks.length)) {
      const { block } = decode<{ block: Uint8Array }>(record);
      blocks.push(block);
      headers.push(decode<{ header: Uint8Array }>(block).header);
    }
    return { blocks, headers, rootAt };
  };
}

/** The author and the bytes of each entry of a block. */
export function entriesIn(block: Uint8Array): { author: string; bytes: Uint8Array }[] {
  const { transactions } = decode<{ transactions: { tx: Uint8Array; entries: Uint8Array[] }[] }>(
    block,
  );
  return transactions.flatMap(({ tx, entries }) => {
    const { author } = decode<{ author: string }>(tx);
    return entries.map((bytes) => ({ author, bytes }));
  });
}

/** Entry id of docs/spec/ledger.md, hexadecimal. */
export const entryIdOf = (ledger: CID, author: string, bytes: Uint8Array): string =>
  hex(hash(Buffer.from("healthledger/entry/1\0"), encode([ledger, author, bytes])));

export interface Note {
  readonly text: string;
  readonly size: number;
  readonly root: string;
  /** Whether the log's key signed it. */
  readonly isSigned: boolean;
  /** Names of the witnesses whose cosignatures are valid. */
  readonly cosigned: readonly string[];
}

/** Reads signed notes by the keys that a scenario knows. */
export function noteReader(
  origin: string,
  log: Uint8Array,
  witnesses: ReadonlyMap<string, Uint8Array>,
): (bytes: Uint8Array) => Note | undefined {
  const read = new Map<string, Note | undefined>();
  return (bytes) => {
    const all = Buffer.from(bytes).toString("latin1");
    if (!read.has(all)) read.set(all, readNote(all));
    return read.get(all);
  };

  function readNote(all: string): Note | undefined {
    const end = all.lastIndexOf("\n\n");
    const text = all.slice(0, end + 1);
    const [name, size, root] = text.split("\n");
    if (end < 0 || name !== origin || !/^[0-9]+$/.test(size ?? "")) return undefined;
    const cosigned = new Set<string>();
    let isSigned = false;
    for (const line of Buffer.from(all.slice(end + 2), "latin1")
      .toString("utf8")
      .split("\n")) {
      const [, by, signature] = /^— (\S+) (\S+)$/.exec(line) ?? [];
      if (by === undefined) continue;
      const raw = Buffer.from(signature!, "base64").subarray(4);
      const body = Buffer.from(text, "latin1");
      if (by === origin && verify(null, body, ed25519(log), raw)) isSigned = true;
      const key = witnesses.get(by);
      if (key === undefined || raw.length !== 72) continue;
      const head = `cosignature/v1\ntime ${raw.readBigUInt64BE(0)}\n`;
      const message = Buffer.concat([Buffer.from(head), body]);
      if (verify(null, message, ed25519(key), raw.subarray(8))) cosigned.add(by);
    }
    return {
      ...{ text, size: Number(size), root: hex(Buffer.from(root!, "base64")), isSigned },
      cosigned: [...cosigned],
    };
  }
}

/** What a copy says that it keeps, by docs/spec/network.md. */
export function keptIn(data: MemoryData, ledger: string, what: string): Fields | undefined {
  const wanted = `network/${ledger}/${what}`;
  const value = data.state.get(wanted);
  return value && decode<Fields>(value);
}

/** What a member elsewhere has yet to send. */
export interface OutboxRow {
  readonly ids: readonly string[];
  /** Whether it changes keys: what a member of a scenario writes to be refused. */
  readonly isOfKeys: boolean;
  readonly isRefused: boolean;
  readonly isTold: boolean;
}

/** Reads a row of docs/spec/network.md. */
export function outboxRowOf(value: Uint8Array, idOf: (entry: Uint8Array) => string): OutboxRow {
  const { entries, refused, told } = decode<{
    entries: Uint8Array[];
    refused: string | null;
    told: boolean;
  }>(value);
  return {
    ...{ ids: entries.map(idOf), isRefused: refused !== null, isTold: told },
    isOfKeys: entries.every((entry) => decode<{ kind: string }>(entry).kind === "key"),
  };
}

/** Whether all of two histories that both have is the same. */
export function isOneHistory(one: History, other: History): boolean {
  const both = Math.min(one.blocks.length, other.blocks.length);
  return one.blocks
    .slice(0, both)
    .every((block, i) => Buffer.compare(block, other.blocks[i]!) === 0);
}
